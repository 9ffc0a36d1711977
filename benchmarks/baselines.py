"""Ours against the rules of thumb of the field, at equal fidelity, in eight cells.

    python benchmarks/baselines.py baselines.jsonl --budget 60m

ResNet-50-thin (relative error of the logits 0.10 and 0.25) and the demosaicking network (0.3 and
1.0 dB of PSNR), on onnxruntime-cpu and torch-cpu, one thread, no training. Every rule's knob is
turned as far as the same limit on the same select split allows, once with factors from the
weights, as published, and once with factors from data; all networks of a cell are then timed
together, interleaved, and their fidelity is read on the report split. The store, with the
profiles, lies beside the results.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, replace
from itertools import product
from math import gcd
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))
from baselines_table import KNAPSACK, ORIGINAL, OURS, SEED, TRIAL, Cell, report
from cells import SUBJECTS, calibration_of, network_of, objective_of, reported
from harness import Budget, Log, arguments, begin
from rules import RULES, Decisions, Greedy, strongest

from rankwise.campaign.setup import make_setup
from rankwise.db.store import Store
from rankwise.db.url import companion
from rankwise.errors import GoalNotReached
from rankwise.factors.array_cache import ArrayCache
from rankwise.factors.assembly import Assembly
from rankwise.lowrank import lower
from rankwise.network_timing.inference_runs import NETWORK_EFFORT, compare_networks
from rankwise.planner.additive import PROBE_ROUNDS, solve_as_asked, solve_exactly
from rankwise.planner.builtin_constraints import ErrorLimit
from rankwise.planner.candidate_policy import candidate_policy
from rankwise.planner.constraint import Constraint
from rankwise.planner.find_plan import find_plan
from rankwise.planner.known_errors import KnownErrors
from rankwise.planner.objective import PlanningOptions
from rankwise.planner.problem import PlanProblem, make_problem
from rankwise.planner.score import find_score
from rankwise.planner.sensitivity import Inputs, Sensitivity
from rankwise.records import Decomposition, Verdict
from rankwise.reporter import Silent
from rankwise.search.space import Assignment, Choice, layer_choices
from rankwise.workflow.profile import profile

BACKENDS = ("onnxruntime-cpu", "torch-cpu")
QUANTA = (8, 16, 32)
FREE = 1
"""The rank quantum that is none."""
FACTORS = ("weights", "data")
FEW = 12
"""Pictures that the greedy rule's single layers are judged on."""


CELLS = [
    Cell(subject.name, limit, backend)
    for subject in SUBJECTS.values()
    for backend, limit in product(BACKENDS, subject.limits)
]


def main() -> None:
    options = arguments(__doc__ or "", only="")
    log, budget = begin(options)
    db = f"sqlite:///{options.output.with_suffix('.db')}"
    wanted = [cell for cell in CELLS if options.only in f"{cell.network} {cell.backend}"]
    names = list(dict.fromkeys(cell.network for cell in wanted))
    for name in names:
        by_rules(log, budget, name, db, "weights")
    for cell in wanted:
        if budget.left:
            profiled(cell, db)
    for name in names:
        by_rules(log, budget, name, db, "data")
    for cell in wanted:
        ours(log, budget, cell, db)
        timed(log, budget, cell, db)
    for cell in wanted:
        report(log, cell)


def profiled(cell: Cell, db: str) -> None:
    subject = SUBJECTS[cell.network]
    for quantum in (FREE, *QUANTA):
        profile(
            subject.path,
            backend=cell.backend,
            input_shape=subject.input_shape,
            db=db,
            rank_quantum=quantum,
        )


def by_rules(log: Log, budget: Budget, name: str, db: str, factors: str) -> None:
    """What each rule decides, for both limits; devices have no say in it."""
    network, pictures = network_of(name), calibration_of(name)
    sensitivity: Sensitivity | None = None
    for limit, (rule, make) in product(SUBJECTS[name].limits, RULES):
        row = {"kind": "decisions", "network": name, "limit": limit}
        row |= {"rule": rule, "factors": factors}
        if log.of(**row) or not budget.left:
            continue
        if sensitivity is None:
            assembly = assembly_of(name, factors, db)
            sensitivity = sensitivity_of(assembly, Inputs.of(pictures), factors)
        usage = usage_of(name, limit, sensitivity)
        one = make or greedy(sensitivity.assembly, name)
        found = strongest(lambda knob, one=one: one(network, knob), usage)  # type: ignore[misc]
        log.add(**row, decisions=to_json(found))
        print(f"{name} {limit} {rule} {factors}: {len(found)} layers", flush=True)


def sensitivity_of(assembly: Assembly, inputs: Inputs, factors: str) -> Sensitivity:
    assert assembly.cache is not None
    chosen: dict[str, float | None] | None = {} if factors == "weights" else None
    where = assembly.cache, assembly.network.sha256, inputs.sha256
    return Sensitivity(assembly, inputs, KnownErrors(*where, factors=chosen))


def assembly_of(name: str, factors: str, db: str) -> Assembly:
    if factors == "weights":
        return Assembly(network_of(name), cache=ArrayCache(companion(db, ".cache")))
    return problem_of(Cell(name, SUBJECTS[name].limits[0], BACKENDS[0]), db).assembly


_greedy: dict[tuple[str, int], Greedy] = {}


def greedy(assembly: Assembly, name: str) -> Greedy:
    """Made once for a network and its factors: each layer's loss alone, on a few pictures."""
    key = name, id(assembly)
    if key not in _greedy:
        pictures = calibration_of(name)
        inputs = Inputs(f"{pictures.sha256}, {FEW}", FEW, lambda: pictures.select[:FEW])
        few = sensitivity_of(assembly, inputs, "data" if assembly.moments else "weights")
        _greedy[key] = Greedy(network_of(name), lambda d: few.measured(d).value)
    return _greedy[key]


def usage_of(name: str, limit: float, sensitivity: Sensitivity) -> Callable[[Decisions], float]:
    """How much of the cell's limit decisions use."""
    objective = objective_of(name, limit)
    constraint: Constraint | None = find_score(
        objective.evaluate, objective.floor, network_of(name)
    )
    if objective.max_error is not None:
        constraint = ErrorLimit(objective.max_error, sensitivity)
    assert constraint is not None

    def usage(decisions: Decisions) -> float:
        plan = Assignment(tuple(decisions), tuple(map(Choice, decisions.values())))
        return constraint.usage(plan, sensitivity.assembly)

    return usage


def problem_of(cell: Cell, db: str, store: Store | None = None) -> PlanProblem:
    setup = make_setup(network_of(cell.network), backend=cell.backend)
    setup = replace(setup, named=True)  # and so timed in processes of their own
    options = PlanningOptions(db, 200, "tpe", True, 0, candidate_policy(), measured_trials=12)
    where = store or Store.open(db)
    objective = objective_of(cell.network, cell.limit)
    return make_problem(setup, where, objective, options, calibration_of(cell.network), Silent())


def ours(log: Log, budget: Budget, cell: Cell, db: str) -> None:
    """Our plan, and what it would be with a part of it left out."""
    base = {"kind": "ours", **asdict(cell)}
    names = [OURS, SEED, *(f"quantum {q}" for q in (FREE, *QUANTA)), KNAPSACK]
    if not budget.left or all(log.of(**base, rule=name) for name in names):
        return
    with Store.open(db) as store:
        problem = problem_of(cell, db, store)
        if not log.of(**base, rule=OURS):
            found = find_plan(problem)
            predicted = found.document.predicted.model_dump()
            if found.refined.trial:
                log.add(**base, rule=TRIAL, decisions=to_json(found.refined.trial.decisions))
            decisions = to_json(found.document.decisions)
            log.add(**base, rule=OURS, decisions=decisions, predicted=predicted)
            print(f"{cell}: ours {predicted['speedup']}", flush=True)
        if all(log.of(**base, rule=name) for name in names):
            return
        for name, decisions in variants(problem):
            if not log.of(**base, rule=name):
                log.add(**base, rule=name, decisions=to_json(decisions))


def variants(problem: PlanProblem) -> Iterator[tuple[str, Decisions]]:
    """The exact solution alone; the same over ranks on one quantum; the same by MACs."""
    yield SEED, solve_as_asked(problem).assignment.decisions
    for quantum in (FREE, *QUANTA):
        fits = _unrounded if quantum == FREE else (lambda d, q=quantum: gcd(*d.ranks) % q == 0)
        allowed = {
            n: [r for r in rows if fits(r.decomposition)] for n, rows in problem.allowed.items()
        }
        fitting = replace(problem, allowed=allowed)
        yield f"quantum {quantum}", solve_as_asked(fitting).assignment.decisions
    yield KNAPSACK, knapsack(problem)


def _unrounded(decomposition: Decomposition) -> bool:
    """Ranks that nobody rounded for hardware: no multiples of 8."""
    return decomposition.is_original or gcd(*decomposition.ranks) % 8 != 0


def knapsack(problem: PlanProblem) -> Decisions:
    """The same candidates, factors and errors, but MACs saved in place of seconds."""
    rows = {
        use.name: [
            row for row in problem.allowed.get(use.name, ()) if not row.decomposition.is_original
        ]
        for use in problem.setup.network.layers
    }
    for name, of in rows.items():
        for kind in {row.decomposition.kind for row in of}:
            same = [row.decomposition for row in of if row.decomposition.kind == kind]
            problem.sensitivity.probe(name, same)
    found: Decisions = {}
    for _ in range(1 + PROBE_ROUNDS):
        with suppress(GoalNotReached):
            layers = [
                _by_macs(problem, use, rows[use.name]) for use in problem.setup.network.layers
            ]
            found = solve_exactly(problem, layers)[0].decisions
        if not problem.sensitivity.probe_at(found):
            break
    return found


def _by_macs(problem: PlanProblem, use: Any, rows: list[Any]) -> Any:
    made = layer_choices(
        use,
        rows,
        lambda d: problem.sensitivity.modelled_sq(use.name, d),
        accept=tuple(Verdict),
    )
    return replace(made, choices=tuple(by_macs(use, one) for one in made.choices))


def by_macs(use: Any, choice: Any) -> Any:
    """Its saving in MACs (so many seconds as a device of 1 GMAC/s would take)."""
    if choice.decomposition.is_original:
        return choice
    saved = use.spec.macs - lower(use.spec, choice.decomposition).macs
    return replace(choice, saving_s=max(saved, 0) / 1e9)


def timed(log: Log, budget: Budget, cell: Cell, db: str) -> None:
    """All networks of the cell together, ours being what the others are held against."""
    if log.of(kind="timing", **asdict(cell)) or not budget.left:
        return
    everyone = list(contestants(log, cell))
    with Store.open(db) as store:
        problem = problem_of(cell, db, store)
        plain = Assembly(problem.setup.network, cache=problem.assembly.cache)
        made = {
            (rule, factors): (plain if factors == "weights" else problem.assembly).network_with(d)
            for rule, factors, d in everyone
        }
        first = made.pop((OURS, "data"))
        made[ORIGINAL, ""] = problem.setup.network
        setup = replace(problem.setup, network=first)
        others = {f"{rule}|{factors}": network for (rule, factors), network in made.items()}
        found = compare_networks(setup, store, others, {}, NETWORK_EFFORT)
        losses = {key: reported(cell.network, network) for key, network in others.items()}
        rows = {key: {**asdict(found[key]), "loss": losses[key]} for key in others}
        ours_loss = reported(cell.network, first)
    log.add(kind="timing", **asdict(cell), rows=rows, ours_loss=ours_loss)


def contestants(log: Log, cell: Cell) -> Iterator[tuple[str, str, Decisions]]:
    for row in log.of(kind="ours", **asdict(cell)):
        yield row["rule"], "data", from_json(row["decisions"])
    for row in log.of(kind="decisions", network=cell.network, limit=cell.limit):
        yield row["rule"], row["factors"], from_json(row["decisions"])


def to_json(decisions: Decisions) -> dict[str, Any]:
    return {name: one.to_json() for name, one in decisions.items()}


def from_json(found: Mapping[str, Any]) -> Decisions:
    return {name: Decomposition.from_json(one) for name, one in found.items()}


if __name__ == "__main__":
    main()
