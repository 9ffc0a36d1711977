"""What single steps of the planner bring: a plan without each, at the same limit.

    python benchmarks/ablation.py ablation.jsonl --budget 60m

Each variant plans a cell of `baselines.py` with one step changed; then all its networks are timed
together, interleaved, against the plan as it is. A step whose lack costs less than 0.5% has to go.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass, field, replace
from math import gcd
from pathlib import Path
from typing import Any
from unittest.mock import patch

from cell_plans import (
    ORIGINAL,
    Cell,
    against,
    compressed,
    inverted,
    measured_rows,
    problem_of,
    spread,
    store_beside,
)
from cells import LIMITS
from harness import Budget, Log, arguments, begin, show
from stores import fresh_copy, url_of

from rankwise.db.store import Store
from rankwise.errors import ModelError
from rankwise.planner import evidence, find_plan, learning
from rankwise.planner.problem import PlanProblem
from rankwise.records import Decomposition

CELLS = (
    Cell("ResNet-50-thin", 0.25, "onnxruntime-cpu"),
    Cell("demosaicking", 1.0, "torch-cpu"),
)
QUANTA = (8, 16, 32)
AS_IT_IS = "as it is"


def _one_sided(*_: Any) -> None:
    raise ModelError("left out on purpose")


@contextmanager
def _unmatched() -> Iterator[None]:
    with patch.object(find_plan, "with_matched_channels", lambda problem, _: problem):
        yield


def _on_multiples(problem: PlanProblem, quantum: int) -> PlanProblem:
    """Only choices whose ranks are multiples of the quantum."""

    def fits(one: Decomposition) -> bool:
        return one.is_original or gcd(*one.ranks) % quantum == 0

    allowed = {
        name: [row for row in rows if fits(row.decomposition)]
        for name, rows in problem.allowed.items()
    }
    return replace(problem, allowed=allowed)


@dataclass(frozen=True, slots=True)
class Variant:
    """A planner with one step changed: by an option, in the problem, or in the code. `apart`: what
    it keeps beside the store is not what the others do."""

    options: dict[str, Any] = field(default_factory=dict)
    problem: Callable[[PlanProblem], PlanProblem] = lambda problem: problem
    changed: Callable[[], Any] = nullcontext
    apart: bool = False


VARIANTS = {
    AS_IT_IS: Variant(),
    "not refined": Variant({"refine": False}),
    "one round in the network": Variant(changed=lambda: patch.object(learning, "ROUNDS", 1)),
    "a study of 200 trials": Variant({"trials": 200}),
    "channels not matched": Variant(changed=_unmatched),
    "input moments alone": Variant(
        changed=lambda: patch.object(evidence, "gather_metrics", _one_sided), apart=True
    ),
    "multiples of 16": Variant(problem=lambda problem: _on_multiples(problem, 16)),
    "multiples of 32": Variant(problem=lambda problem: _on_multiples(problem, 32)),
}


def main() -> None:
    options = arguments(__doc__ or "", only="")
    log, budget = begin(options)
    for cell in CELLS:
        if options.only in f"{cell.network} {cell.backend}":
            one_cell(log, budget, cell, options.output)
    for cell in CELLS:
        report(log, cell)


def one_cell(log: Log, budget: Budget, cell: Cell, output: Path) -> None:
    if not budget.left or log.of(kind="timing", **asdict(cell)):
        return
    db = store_beside(output)
    measured_rows(cell, db, QUANTA)
    for name in VARIANTS:
        if budget.left and not log.of(kind="plan", **asdict(cell), variant=name):
            one_plan(log, cell, name, output)
    if budget.left:
        timed(log, cell, output)


def apart(output: Path) -> Path:
    return output.with_suffix(".apart.db")


def store_of(name: str, output: Path) -> str:
    return url_of(apart(output)) if VARIANTS[name].apart else store_beside(output)


def one_plan(log: Log, cell: Cell, name: str, output: Path) -> None:
    variant, db = VARIANTS[name], store_of(name, output)
    if variant.apart:
        fresh_copy(output.with_suffix(".db"), apart(output))
    with Store.open(db) as store, variant.changed():
        problem = variant.problem(problem_of(cell, db, store, **variant.options))
        found = find_plan.find_plan(problem).document
    plan = found.model_dump(mode="json")
    log.add(kind="plan", **asdict(cell), variant=name, plan=plan)
    print(f"{cell} {name}: {found.predicted.speedup}", flush=True)


def timed(log: Log, cell: Cell, output: Path) -> None:
    networks = {
        row["variant"]: compressed(cell, row["plan"], store_of(row["variant"], output))
        for row in log.of(kind="plan", **asdict(cell))
    }
    first = networks.pop(AS_IT_IS)
    db = store_beside(output)
    with Store.open(db) as store:
        problem = problem_of(cell, db, store)
        networks[ORIGINAL] = problem.setup.network
        log.add(kind="timing", **asdict(cell), **against(problem, cell, first, networks))


def report(log: Log, cell: Cell) -> None:
    plans = {row["variant"]: row["plan"] for row in log.of(kind="plan", **asdict(cell))}
    for row in log.of(kind="timing", **asdict(cell)):
        print(f"\n{cell.network}, {cell.limit:g} {LIMITS[cell.network].unit}, {cell.backend}")
        original = inverted(row["rows"][ORIGINAL])
        lines = [(AS_IT_IS, said(plans[AS_IT_IS]), spread(*original), "", row["first_loss"][0])]
        for name, found in row["rows"].items():
            if name != ORIGINAL:
                ratio = inverted(found)
                faster = f"{original[0] / ratio[0]:.3f}"
                line = said(plans[name]), faster, spread(*ratio), found["loss"][0]
                lines.append((name, *line))
        show(("planner", "predicted", "measured", "as it is, faster by", "loss"), lines)


def said(plan: dict[str, Any]) -> str:
    found = plan["predicted"]
    return spread(found["speedup"], found["speedup_low"], found["speedup_high"])


if __name__ == "__main__":
    main()
