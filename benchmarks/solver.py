"""How long the exact solver takes, and a plan of the largest network of the zoo.

    python benchmarks/solver.py solver.jsonl --budget 10m
    python benchmarks/solver.py solver.jsonl --limits 2     # parameters are limited, too

Instances are drawn: *correlated* ones save more where they lose more, as measured candidates do;
in the others saving and loss have nothing to do with each other. The plans are of `resnet152`, from
a store beside the output that the fake backend fills, so its speedups mean nothing: the first plan
measures the errors of layers in the network, the next ones are asked for other limits. Imports
are not counted.
"""

from __future__ import annotations

import time
from argparse import Namespace
from dataclasses import replace

import numpy as np
from harness import Budget, Log, arguments, begin, show, verdict

from rankwise.records import Decomposition
from rankwise.search.exact import Ceiling, SolverLimits, most_error_sq, solve
from rankwise.search.space import Choice, LayerChoices
from rankwise.workflow.plan import plan
from rankwise.workflow.profile import profile

SHARES = (0.02, 0.1, 0.3, 0.6)
"""Limits on the sum of squared errors, as shares of the largest."""
ERROR_LIMITS = (0.3, 0.25, 0.35)
GAP, SOLVE_S, PLAN_S = 1e-4, 2.0, 5.0


def main() -> None:
    options = arguments(__doc__ or "", layers=1000, candidates=100, seeds=3, limits=1)
    log, budget = begin(options)
    solve(instance(2, 2, True, 0), SolverLimits(1.0))
    solutions(log, budget, options)
    plans(log, budget, options)
    asked = size_of(options)
    report(log.of(kind="solution", **asked), log.of(kind="plan"))


def size_of(options: Namespace) -> dict[str, int]:
    return {name: getattr(options, name) for name in ("layers", "candidates", "limits")}


def solutions(log: Log, budget: Budget, options: Namespace) -> None:
    size = size_of(options)
    for correlated in (True, False):
        for seed in range(options.seeds):
            layers = instance(options.layers, options.candidates, correlated, seed)
            for share in SHARES:
                asked = {**size, "correlated": correlated, "seed": seed, "share": share}
                if budget.left and not log.of(kind="solution", **asked):
                    seconds, gap = one_solution(layers, options.limits, share)
                    log.add(kind="solution", **asked, seconds=seconds, gap=gap)


def instance(layers: int, candidates: int, correlated: bool, seed: int) -> list[LayerChoices]:
    rng = np.random.default_rng(seed)
    return [layer(f"layer{n}", candidates, correlated, rng) for n in range(layers)]


def layer(name: str, candidates: int, correlated: bool, rng: np.random.Generator) -> LayerChoices:
    latency_s, weight = rng.lognormal(-9, 0.8), rng.lognormal(-6, 1.0)
    params = int(rng.integers(10_000, 1_000_000))
    choices = [Choice(params=params)]
    for rank in range(1, candidates + 1):
        kept = rank / (candidates + 1)
        saved, lost = (1 - kept, (1 - kept) ** 2) if correlated else rng.random(2)
        noise = rng.uniform(0.8, 1.2, 2)
        choices.append(
            Choice(
                Decomposition("svd", (8 * rank,)),
                saving_s=latency_s * saved * noise[0],
                error_sq=weight * lost * noise[1],
                params=int(params * kept),
            )
        )
    return LayerChoices(name, name, tuple(choices))


def one_solution(layers: list[LayerChoices], limits: int, share: float) -> tuple[float, float]:
    """Seconds and gap."""
    wanted = SolverLimits(share * most_error_sq(layers))
    if limits > 1:  # a tenth fewer parameters than the plan without this limit has
        fewer = int(0.9 * solve(layers, wanted).params)
        wanted = replace(wanted, ceilings=(Ceiling("parameters", fewer, lambda _, c: c.params),))
    start = time.perf_counter()
    found = solve(layers, wanted)
    return time.perf_counter() - start, found.gap


def plans(log: Log, budget: Budget, options: Namespace) -> None:
    """The first limit fills the store, the others are what is timed."""
    db = f"sqlite:///{options.output.with_suffix('.db')}"
    if budget.left and not log.of(kind="plan"):
        profile("resnet152", backend="fake", db=db)
    for limit in ERROR_LIMITS:
        if budget.left and not log.of(kind="plan", limit=limit):
            start = time.perf_counter()
            found = plan("resnet152", backend="fake", db=db, max_error=limit, refine=False)
            seconds = time.perf_counter() - start
            replaced = sum(one.decomposition.kind != "original" for one in found.layers)
            log.add(kind="plan", limit=limit, seconds=seconds, replaced=replaced)


def report(solutions: list[dict], plans: list[dict]) -> None:
    columns = ("correlated", "seed", "share", "seconds", "gap")
    show(columns, [[row[name] for name in columns] for row in solutions])
    if solutions:
        slowest, widest = (max(row[name] for row in solutions) for name in ("seconds", "gap"))
        verdict("slowest solution", slowest, slowest < SOLVE_S, f"under {SOLVE_S} s")
        verdict("largest gap", widest, widest <= GAP, f"at most {GAP}")
    show(
        ("limit", "replaced", "seconds"), [[p["limit"], p["replaced"], p["seconds"]] for p in plans]
    )
    if timed := [row["seconds"] for row in plans if row["limit"] != ERROR_LIMITS[0]]:
        slowest = max(timed)
        verdict("plan from a filled store", slowest, slowest < PLAN_S, f"under {PLAN_S} s")


if __name__ == "__main__":
    main()
