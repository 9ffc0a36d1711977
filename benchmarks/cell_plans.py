"""Plans of a cell (a network, a limit, a backend): the problem, our plan, and networks timed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

from cells import LIMITS, calibration_of, network_of, objective_of, reported
from subjects import SUBJECTS

from rankwise import documents
from rankwise.campaign.setup import make_setup
from rankwise.db.store import Store
from rankwise.db.url import companion
from rankwise.factors.array_cache import ArrayCache
from rankwise.factors.planned_network import PlannedNetwork
from rankwise.models.network import Network
from rankwise.network_timing.inference_runs import NETWORK_EFFORT, compare_networks
from rankwise.planner.candidate_policy import candidate_policy
from rankwise.planner.objective import PlanningOptions
from rankwise.planner.problem import PlanProblem, make_problem
from rankwise.records import Decomposition
from rankwise.reporter import Silent
from rankwise.workflow.profile import profile

Decisions = Mapping[str, Decomposition]
BACKENDS = ("onnxruntime-cpu", "torch-cpu")
ORIGINAL = "original"


@dataclass(frozen=True)
class Cell:
    network: str
    limit: float
    backend: str


CELLS = [
    Cell(name, limit, backend)
    for name, limits in LIMITS.items()
    for backend, limit in product(BACKENDS, limits.values)
]


def store_beside(output: Path) -> str:
    """Of measured rows and of what plans rest on."""
    return f"sqlite:///{output.with_suffix('.db')}"


def measured_rows(cell: Cell, db: str, quanta: tuple[int, ...]) -> None:
    """What is missing of the rows at ranks on multiples of each quantum."""
    subject = SUBJECTS[cell.network]
    where = {"backend": cell.backend, "input_shape": subject.input_shape, "db": db}
    for quantum in quanta:
        profile(subject.path, rank_quantum=quantum, **where)


def problem_of(cell: Cell, db: str, store: Store, **options: Any) -> PlanProblem:
    setup = make_setup(network_of(cell.network), backend=cell.backend)
    setup = replace(setup, named=True)  # and so timed in processes of their own
    plain = PlanningOptions(
        db, trials=0, sampler="tpe", refine=True, seed=0, candidate_policy=candidate_policy()
    )
    objective, pictures = objective_of(cell.network, cell.limit), calibration_of(cell.network)
    asked = replace(plain, **options)
    return make_problem(setup, store, objective, asked, pictures, Silent())


def compressed(cell: Cell, plan: Mapping[str, Any], db: str) -> Network:
    """The network that a plan (as JSON) makes."""
    document = documents.Plan.model_validate(plan)
    cache = ArrayCache(companion(db, ".cache"))
    planned = PlannedNetwork(document, network_of(cell.network), cache)
    return planned.compressed(calibration_of(cell.network))


def against(
    problem: PlanProblem, cell: Cell, first: Network, others: Mapping[str, Network]
) -> dict[str, Any]:
    """All timed together, `first` being what the others are held against; of each the comparison
    and the loss on the report split with its interval."""
    setup = replace(problem.setup, network=first)
    found = compare_networks(setup, problem.store, others, {}, NETWORK_EFFORT)
    rows = {
        name: {**asdict(found[name]), "loss": reported(cell.network, network)}
        for name, network in others.items()
    }
    return {"rows": rows, "first_loss": reported(cell.network, first)}


def inverted(found: Mapping[str, Any]) -> tuple[float, float, float]:
    """How much faster the first is, with its interval: comparisons have it as the original."""
    return 1 / found["speedup"], 1 / found["speedup_high"], 1 / found["speedup_low"]


def spread(value: float, low: float, high: float) -> str:
    return f"{value:.3f} [{low:.3f}, {high:.3f}]"
