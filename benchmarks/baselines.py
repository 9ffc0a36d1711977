"""Ours against the rules of thumb of the field, at equal fidelity, in eight cells.

    python benchmarks/baselines.py baselines.jsonl --budget 60m
    python benchmarks/baselines.py baselines.jsonl --budget 25m --ours      # only the original

ResNet-50-thin (relative error of the logits 0.10 and 0.25) and the demosaicking network (0.3 and
1.0 dB of PSNR), on onnxruntime-cpu and torch-cpu, one thread, no training. Every rule's knob is
turned as far as the same limit allows on the same split (select for the error, confirm for PSNR),
once with factors from the weights, as published, and once with factors from data; ours must keep
the limit on the confirm split, too, where it is one of the error. All networks of a cell are then
timed together, interleaved, and their fidelity is read on the report split. The store, with the
profiles, lies beside the results.
"""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from itertools import product
from typing import Any

from baselines_table import KNAPSACK, OURS, report
from cell_plans import (
    BACKENDS,
    CELLS,
    ORIGINAL,
    Cell,
    Decisions,
    against,
    compressed,
    measured_rows,
    problem_of,
    store_beside,
)
from cells import LIMITS, calibration_of, network_of, objective_of
from harness import Budget, Log, arguments, begin
from rules import RULES, Greedy, strongest

from rankwise.db.store import Store
from rankwise.factors.assembly import Assembly
from rankwise.lowrank import lower
from rankwise.planner.builtin_constraints import constraints_of
from rankwise.planner.find_plan import find_plan
from rankwise.planner.inputs import Inputs
from rankwise.planner.measured_errors import MeasuredErrors
from rankwise.planner.problem import PlanProblem, choices
from rankwise.planner.solution import solve_as_asked
from rankwise.records import Decomposition
from rankwise.search.space import Assignment, Choice, LayerChoices

QUANTA = (1, 8, 16, 32)
"""Of the ranks that are measured; the first is none."""
FEW = 12
"""Examples that the greedy rule's single layers are judged on."""


def main() -> None:
    options = arguments(__doc__ or "", only="", ours=False)
    log, budget = begin(options)
    db = store_beside(options.output)
    cells = [cell for cell in CELLS if options.only in f"{cell.network} {cell.backend}"]
    for cell in cells:
        if budget.left:
            measured_rows(cell, db, QUANTA)
    if not options.ours:
        for name in dict.fromkeys(cell.network for cell in cells):
            with Store.open(db) as store:
                by_rules(log, budget, name, db, store)
    for cell in cells:
        with Store.open(db) as store:
            one_cell(log, budget, cell, options, store)
    for cell in cells:
        report(log, cell)


def by_rules(log: Log, budget: Budget, name: str, db: str, store: Store) -> None:
    """What each rule decides, for both limits; devices have no say in it."""
    cell = Cell(name, LIMITS[name].values[0], BACKENDS[0])
    problem = problem_of(cell, db, store)
    plain = Assembly(problem.setup.network, cache=problem.assembly.cache)
    for factors, assembly in (("weights", plain), ("data", problem.assembly)):
        errors = problem.evidence.select.on(assembly)
        greedy: Greedy | None = None
        for limit, (rule, make) in product(LIMITS[name].values, RULES):
            row = {"kind": "decisions", "network": name, "limit": limit}
            row |= {"rule": rule, "factors": factors}
            if log.of(**row) or not budget.left:
                continue
            if make is None:
                greedy = greedy or greedy_rule(problem, errors)
            one = make or greedy
            assert one is not None
            usage = usage_of(problem, errors, limit)
            found = strongest(lambda knob, one=one: one(network_of(name), knob), usage)  # type: ignore[misc]
            log.add(**row, decisions=to_json(found))
            print(f"{name} {limit} {rule} {factors}: {len(found)} layers", flush=True)


def greedy_rule(problem: PlanProblem, errors: MeasuredErrors) -> Greedy:
    """With each layer's loss alone, on a few pictures."""
    pictures = calibration_of(problem_name(problem))
    few = Inputs(f"{pictures.sha256}, {FEW}", FEW, lambda: pictures.select[:FEW])
    measured = MeasuredErrors(errors.assembly, errors.compared, few, problem.progress)
    return Greedy(problem.setup.network, lambda decisions: measured.of(decisions).value)


def usage_of(
    problem: PlanProblem, errors: MeasuredErrors, limit: float
) -> Callable[[Decisions], float]:
    """How much of the limit decisions use, on the select split."""
    objective = objective_of(problem_name(problem), limit)
    constraints = constraints_of(objective, problem.setup, errors)

    def usage(decisions: Decisions) -> float:
        plan = Assignment(tuple(decisions), tuple(map(Choice, decisions.values())))
        return constraints.usage(plan)

    return usage


def problem_name(problem: PlanProblem) -> str:
    return next(n for n in LIMITS if network_of(n).sha256 == problem.setup.network.sha256)


def one_cell(log: Log, budget: Budget, cell: Cell, options: Namespace, store: Store) -> None:
    """Our plan, the knapsack by MACs, and all networks of the cell timed together."""
    done = {"kind": "timing", **asdict(cell), "ours": options.ours}
    if log.of(**done) or not budget.left:
        return
    db = store_beside(options.output)
    problem = problem_of(cell, db, store)
    own = {"kind": "ours", **asdict(cell), "rule": OURS}
    if not log.of(**own):
        found = find_plan(problem).document
        log.add(**own, plan=found.model_dump(mode="json"))
        print(f"{cell}: ours {found.predicted.speedup}", flush=True)
    first = compressed(cell, log.of(**own)[-1]["plan"], db)
    others = {f"{ORIGINAL}|": problem.setup.network}
    if not options.ours and budget.left:
        others |= contestants(log, cell, problem)
    if budget.left:
        log.add(**done, **against(problem, cell, first, others))


def contestants(log: Log, cell: Cell, problem: PlanProblem) -> dict[str, Any]:
    """The networks of the rules and of the knapsack, by rule and factors."""
    plain = Assembly(problem.setup.network, cache=problem.assembly.cache)
    made = {f"{KNAPSACK}|data": problem.assembly.network_with(knapsack(problem))}
    for row in log.of(kind="decisions", network=cell.network, limit=cell.limit):
        assembly = plain if row["factors"] == "weights" else problem.assembly
        network = assembly.network_with(from_json(row["decisions"]))
        made[f"{row['rule']}|{row['factors']}"] = network
    return made


def knapsack(problem: PlanProblem) -> Decisions:
    """The same candidates, factors and errors, but MACs saved in place of seconds."""
    layers = [by_macs(problem, layer) for layer in choices(problem)]
    return solve_as_asked(problem, layers).assignment.decisions


def by_macs(problem: PlanProblem, layer: LayerChoices) -> LayerChoices:
    """With savings in MACs: so many seconds as a device of 1 GMAC/s would take."""
    spec = problem.assembly.specs[layer.name]

    def saving_s(choice: Choice) -> float:
        if spec is None or choice.decomposition.is_original:
            return 0.0
        return max(spec.macs - lower(spec, choice.decomposition).macs, 0) / 1e9

    return replace(
        layer, choices=tuple(replace(one, saving_s=saving_s(one)) for one in layer.choices)
    )


def to_json(decisions: Decisions) -> dict[str, Any]:
    return {name: one.to_json() for name, one in decisions.items()}


def from_json(found: Mapping[str, Any]) -> dict[str, Decomposition]:
    return {name: Decomposition.from_json(one) for name, one in found.items()}


if __name__ == "__main__":
    main()
