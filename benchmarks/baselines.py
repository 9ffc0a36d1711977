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

import math
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from itertools import product
from math import gcd
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))
from cells import SUBJECTS, calibration_of, network_of, objective_of, reported
from harness import Budget, Log, arguments, begin, show, verdict
from rules import RULES, Decisions, Greedy, strongest

from rankwise.campaign.setup import make_setup
from rankwise.db.store import Store
from rankwise.db.url import companion
from rankwise.errors import GoalNotReached
from rankwise.factors.array_cache import ArrayCache
from rankwise.factors.assembly import Assembly
from rankwise.lowrank import lower
from rankwise.network_timing.inference_runs import NETWORK_EFFORT, compare_networks
from rankwise.planner.additive import PROBE_ROUNDS, solved
from rankwise.planner.candidate_policy import candidate_policy
from rankwise.planner.known_errors import KnownErrors
from rankwise.planner.planner import Planner, PlanningOptions
from rankwise.planner.quality import Quality, find_score
from rankwise.planner.repair import best_within
from rankwise.planner.sensitivity import Inputs, Sensitivity
from rankwise.records import Decomposition, Verdict
from rankwise.reporter import Silent
from rankwise.search.space import layer_choices
from rankwise.workflow.profile import profile

BACKENDS = ("onnxruntime-cpu", "torch-cpu")
QUANTA = (8, 16, 32)
FREE = 1
"""The rank quantum that is none."""
OURS, SEED, KNAPSACK, ORIGINAL = "ours", "ours, exact solution", "MAC knapsack", "original"
TRIAL = "ours, best trial"
FACTORS = ("weights", "data")
FEW = 12
"""Pictures that the greedy rule's single layers are judged on."""


@dataclass(frozen=True)
class Cell:
    network: str
    limit: float
    backend: str


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
        quality = quality_of(name, limit, sensitivity)
        one = make or greedy(sensitivity.assembly, name)
        found = strongest(lambda knob, one=one: one(network, knob), quality.usage)  # type: ignore[misc]
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
    return planner_of(Cell(name, SUBJECTS[name].limits[0], BACKENDS[0]), db).assembly


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


def quality_of(name: str, limit: float, sensitivity: Sensitivity) -> Quality:
    objective = objective_of(name, limit)
    score = find_score(objective.evaluate, objective.floor, network_of(name))
    return Quality(sensitivity, objective.max_error, score)


def planner_of(cell: Cell, db: str, store: Store | None = None) -> Planner:
    setup = make_setup(network_of(cell.network), backend=cell.backend)
    setup = replace(setup, named=True)  # and so timed in processes of their own
    options = PlanningOptions(db, 200, "tpe", True, 0, candidate_policy(), measured_trials=12)
    where = store or Store.open(db)
    objective = objective_of(cell.network, cell.limit)
    return Planner(setup, where, objective, options, calibration_of(cell.network), Silent())


def ours(log: Log, budget: Budget, cell: Cell, db: str) -> None:
    """Our plan, and what it would be with a part of it left out."""
    base = {"kind": "ours", **asdict(cell)}
    names = [OURS, SEED, *(f"quantum {q}" for q in (FREE, *QUANTA)), KNAPSACK]
    if not budget.left or all(log.of(**base, rule=name) for name in names):
        return
    with Store.open(db) as store:
        planner = planner_of(cell, db, store)
        if not log.of(**base, rule=OURS):
            document, _ = planner.run()
            found = document.decisions
            predicted = document.predicted.model_dump()
            trial = planner.refined and planner.refined.trial
            if trial:
                log.add(**base, rule=TRIAL, decisions=to_json(trial.decisions))
            log.add(**base, rule=OURS, decisions=to_json(found), predicted=predicted)
            print(f"{cell}: ours {document.predicted.speedup}", flush=True)
        if all(log.of(**base, rule=name) for name in names):
            return
        for name, decisions in variants(planner):
            if not log.of(**base, rule=name):
                log.add(**base, rule=name, decisions=to_json(decisions))


def variants(planner: Planner) -> Iterator[tuple[str, Decisions]]:
    """The exact solution alone; the same over ranks on one quantum; the same by MACs."""
    yield SEED, solved(planner).assignment.decisions
    everything = planner.allowed
    for quantum in (FREE, *QUANTA):
        fits = _unrounded if quantum == FREE else (lambda d, q=quantum: gcd(*d.ranks) % q == 0)
        planner.allowed = {n: {d for d in of if fits(d)} for n, of in everything.items()}
        yield f"quantum {quantum}", solved(planner).assignment.decisions
    planner.allowed = everything
    yield KNAPSACK, knapsack(planner)


def _unrounded(decomposition: Decomposition) -> bool:
    """Ranks that nobody rounded for hardware: no multiples of 8."""
    return decomposition.is_original or gcd(*decomposition.ranks) % 8 != 0


def knapsack(planner: Planner) -> Decisions:
    """The same candidates, factors and errors, but MACs saved in place of seconds."""
    rows = {
        use.name: [row for row in planner._rows(use) if not row.decomposition.is_original]
        for use in planner.setup.network.layers
    }
    for name, of in rows.items():
        for kind in {row.decomposition.kind for row in of}:
            same = [row.decomposition for row in of if row.decomposition.kind == kind]
            planner.sensitivity.probe(name, same)
    found: Decisions = {}
    for _ in range(1 + PROBE_ROUNDS):
        with suppress(GoalNotReached):
            layers = [
                _by_macs(planner, use, rows[use.name]) for use in planner.setup.network.layers
            ]
            solved, _budget = best_within(layers, planner.limits, planner.quality, _silent)
            found = solved.decisions
        if not planner.sensitivity.probe_at(found):
            break
    return found


def _by_macs(planner: Planner, use: Any, rows: list[Any]) -> Any:
    made = layer_choices(
        use,
        rows,
        lambda d: planner.sensitivity.modelled_sq(use.name, d),
        accept=tuple(Verdict),
    )
    return replace(made, choices=tuple(by_macs(use, one) for one in made.choices))


def by_macs(use: Any, choice: Any) -> Any:
    """Its saving in MACs (so many seconds as a device of 1 GMAC/s would take)."""
    if choice.decomposition.is_original:
        return choice
    saved = use.spec.macs - lower(use.spec, choice.decomposition).macs
    return replace(choice, saving_s=max(saved, 0) / 1e9)


def _silent(step: int, used: float) -> None:
    pass


def timed(log: Log, budget: Budget, cell: Cell, db: str) -> None:
    """All networks of the cell together, ours being what the others are held against."""
    if log.of(kind="timing", **asdict(cell)) or not budget.left:
        return
    everyone = list(contestants(log, cell))
    with Store.open(db) as store:
        planner = planner_of(cell, db, store)
        plain = Assembly(planner.setup.network, cache=planner.assembly.cache)
        made = {
            (rule, factors): (plain if factors == "weights" else planner.assembly).network_with(d)
            for rule, factors, d in everyone
        }
        first = made.pop((OURS, "data"))
        made[ORIGINAL, ""] = planner.setup.network
        setup = replace(planner.setup, network=first)
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


def report(log: Log, cell: Cell) -> None:
    for row in log.of(kind="timing", **asdict(cell)):
        subject = SUBJECTS[cell.network]
        print(f"\n{cell.network}, {cell.limit:g} {subject.unit}, {cell.backend}")
        lines = []
        original = row["rows"][f"{ORIGINAL}|"]
        lines.append((OURS, "data", *spread(*inverted(original)), "", "", *loss(row["ours_loss"])))
        for key, found in row["rows"].items():
            rule, factors = key.split("|")
            ratio = inverted(found)
            faster = f"{inverted(original)[0] / ratio[0]:.3f}"
            lines.append((rule, factors, faster, "", *spread(*ratio), *loss(found["loss"])))
        columns = ("rule", "factors", "speedup", "", "ours faster by", "", "loss", "")
        show(columns, lines)
        (own,) = log.of(kind="ours", **asdict(cell), rule=OURS)
        promised(own["predicted"], inverted(original)[0])
        judged(cell, row["rows"], subject.limits)


def promised(predicted: Mapping[str, Any], found: float) -> None:
    """Whether the plan's interval holds what was measured; its half-width."""
    low, high = predicted["speedup_low"], predicted["speedup_high"]
    said = f"{predicted['speedup']:.3f} [{low:.3f}, {high:.3f}], measured {found:.3f}"
    verdict("predicted", said, low <= found <= high, "inside")
    half = (high - low) / 2 / predicted["speedup"]
    verdict("half-width", half, half <= 0.06, "at most 0.06")


def inverted(found: Mapping[str, Any]) -> tuple[float, float, float]:
    """How much faster ours is: the comparison has ours as the original."""
    return 1 / found["speedup"], 1 / found["speedup_high"], 1 / found["speedup_low"]


def spread(value: float, low: float, high: float) -> tuple[str, str]:
    return f"{value:.3f}", f"[{low:.3f}, {high:.3f}]"


def loss(found: tuple[float, float, float]) -> tuple[str, str]:
    return f"{found[0]:.3f}", f"[{found[1]:.3f}, {found[2]:.3f}]"


def judged(cell: Cell, rows: Mapping[str, Mapping[str, Any]], limits: tuple[float, float]) -> None:
    ratios = {key: inverted(found) for key, found in rows.items()}
    rules = {rule for rule, _ in RULES}
    against = {k: r for k, r in ratios.items() if k.split("|")[0] in {*rules, KNAPSACK, ORIGINAL}}
    lowest = min(against.values(), key=lambda ratio: ratio[1])
    verdict("lowest bound against any", lowest[1], lowest[1] >= 0.98, "at least 0.98")
    published = [r for k, r in against.items() if k.endswith("|weights")]
    best = min(published, key=lambda ratio: ratio[0])
    if cell.limit == max(limits):
        ok = best[0] >= 1.1 and best[1] > 1.05
        verdict("against the best published", spread(*best)[0] + " " + spread(*best)[1], ok, "1.10")
    seed = ratios[f"{SEED}|data"]
    verdict("against the exact seed", spread(*seed)[0] + " " + spread(*seed)[1], seed[1] > 1, ">1")
    if f"{TRIAL}|data" in ratios:
        found = quotient(seed, ratios[f"{TRIAL}|data"])
        said = " ".join(spread(*found))
        verdict("Optuna's best trial against the seed", said, found[1] > 1, ">1")


def quotient(
    over: tuple[float, float, float], under: tuple[float, float, float]
) -> tuple[float, float, float]:
    """Of two ratios that were measured apart, with its interval: log widths add up squared."""
    value = over[0] / under[0]
    width = math.sqrt(sum(math.log(high / low) ** 2 / 4 for _, low, high in (over, under)))
    return value, value * math.exp(-width), value * math.exp(width)


def to_json(decisions: Decisions) -> dict[str, Any]:
    return {name: one.to_json() for name, one in decisions.items()}


def from_json(found: Mapping[str, Any]) -> Decisions:
    return {name: Decomposition.from_json(one) for name, one in found.items()}


if __name__ == "__main__":
    main()
