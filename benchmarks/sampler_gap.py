"""How far a sampler without seeds stays behind the exact solution of the additive problem.

    python benchmarks/sampler_gap.py gap.jsonl --budget 30m --no-doctor
    python benchmarks/sampler_gap.py gap.jsonl --no-doctor --table table.json

Instances are as large as ResNet-50: 54 layers with two or three kinds of up to eight ranks, drawn
so that what saves more loses more. `--table` adds one with the savings of a stored table
(`rankwise table --json`, one network on one device); a table holds no errors, so these are drawn.
The gap is what is missing of the exact solution's saving after so many trials.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from harness import Budget, Log, arguments, begin, show

from rankwise.records import Decomposition
from rankwise.search.exact import SolverLimits, most_error_sq, solve
from rankwise.search.space import Choice, LayerChoices
from rankwise.search.study import TrialEvent, run_study

LAYERS, RANKS, KINDS = 54, 8, ("channel_svd", "spatial_svd", "tucker2")
TRIALS = (100, 300, 1000)
ALLOWED = 0.05
"""The error limit, as a share of the largest sum of squared errors: the exact solution then
saves about half of what can be saved."""


def main() -> None:
    options = arguments(__doc__ or "", seeds=5, instances=3, sampler="tpe", table="")
    log, budget = begin(options)
    instances = {f"random {seed}": random_instance(seed) for seed in range(options.instances)}
    if options.table:
        instances["table"] = table_instance(Path(options.table))
    for seed in range(options.seeds):
        for name, layers in instances.items():
            asked = {"instance": name, "seed": seed, "sampler": options.sampler}
            if budget.left and not log.of(kind="run", **asked):
                one_run(log, budget, layers, asked)
    report(log.of(kind="run", sampler=options.sampler))


def random_instance(seed: int) -> list[LayerChoices]:
    """Layers differ in their time and in what their errors mean to the network by factors."""
    rng = np.random.default_rng(seed)
    return [_layer(f"layer{number}", rng) for number in range(LAYERS)]


def _layer(name: str, rng: np.random.Generator) -> LayerChoices:
    latency_s, weight = 1e-4 * rng.lognormal(0, 0.8), rng.lognormal(0, 1.0)
    choices = [Choice(params=1)]
    for kind in rng.permutation(KINDS)[: rng.integers(2, 4)]:
        kept, loses = np.linspace(0.15, 0.9, RANKS), rng.lognormal(0, 0.3)
        for step, share in enumerate(kept, 1):
            saving_s = latency_s * (1 - share) * rng.normal(0.8, 0.1)
            error_sq = weight * loses * (1 - share) ** 3 * rng.lognormal(0, 0.1)
            if saving_s > 0:
                ranks = (16 * step,) * (2 if kind == "tucker2" else 1)
                choices.append(Choice(Decomposition(kind, ranks), saving_s, error_sq=error_sq))
    return LayerChoices(name, name, tuple(choices))


def table_instance(path: Path) -> list[LayerChoices]:
    """Measured savings of what is FASTER; an error grows with the share of the layer's
    multiply-accumulates that is left out."""
    rows = [row for row in json.loads(path.read_text())["rows"] if row["verdict"] == "FASTER"]
    rng = np.random.default_rng(0)
    weights: dict[str, float] = defaultdict(lambda: rng.lognormal(0, 1.0))
    by_layer: dict[str, list[Choice]] = defaultdict(lambda: [Choice(params=1)])
    for row in rows:
        lost = max(1 - row["macs"] / row["original_macs"], 0.0)
        chosen = row["decomposition"]
        decomposition = Decomposition(chosen["kind"], tuple(chosen["ranks"]), chosen["groups"])
        for name in row["layers"]:
            error_sq = weights[name] * lost**3 * rng.lognormal(0, 0.1)
            by_layer[name].append(Choice(decomposition, row["saving_s"], error_sq=error_sq))
    return [LayerChoices(name, name, tuple(choices)) for name, choices in by_layer.items()]


def one_run(log: Log, budget: Budget, layers: Sequence[LayerChoices], asked: dict) -> None:
    """One study of all trials; what the budget cuts off is done again by the next run."""
    limit = ALLOWED * most_error_sq(layers)
    exact = solve(layers, SolverLimits(limit))
    found: dict[str, float | None] = {}

    def note(event: TrialEvent) -> None:
        if event.number + 1 in TRIALS:
            best = event.best_value or 0.0  # no plan that keeps the limit: the original
            found[str(event.number + 1)] = 1 - best / exact.saving_s
        if not budget.left:
            raise KeyboardInterrupt

    options = {"trials": max(TRIALS), "sampler": asked["sampler"], "seed": asked["seed"]}
    try:
        run_study(layers, SolverLimits(limit), seeded=False, on_trial=note, **options)
    except KeyboardInterrupt:
        if budget.left:
            raise
    else:
        log.add(kind="run", gap=found, **asked)
        print(asked, {trials: round(gap, 3) for trials, gap in found.items()}, flush=True)


def report(rows: list[dict]) -> None:
    names = sorted({row["instance"] for row in rows})
    lines = []
    for name in [*names, "all"]:
        gaps = [row["gap"] for row in rows if name in (row["instance"], "all")]
        if gaps:
            spread = [_spread([gap[str(trials)] for gap in gaps]) for trials in TRIALS]
            lines.append((name, len(gaps), *spread))
    show(("instance", "seeds", *(f"gap after {trials}" for trials in TRIALS)), lines)


def _spread(gaps: Sequence[float]) -> str:
    """Median, and the range in brackets."""
    return f"{np.median(gaps):.1%} [{min(gaps):.1%}, {max(gaps):.1%}]"


if __name__ == "__main__":
    main()
