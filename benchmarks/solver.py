"""How long the exact solver takes, and a plan of the largest network of the zoo.

    python benchmarks/solver.py --layers 1000 --candidates 100

Instances are drawn: *correlated* ones save more where they lose more, as measured candidates do;
in the others saving and loss have nothing to do with each other. The plan is of `resnet152`, from
a store that the fake backend has filled, so its times mean nothing: the first plan measures the
errors of layers in the network, the next ones are asked for other limits.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from harness import show, verdict

from rankwise.records import Decomposition
from rankwise.search.exact import most_error_sq, solve
from rankwise.search.space import Choice, LayerChoices
from rankwise.workflow.planning import plan
from rankwise.workflow.profiling import profile

SHARES = (0.02, 0.1, 0.3, 0.6)
"""Limits on the sum of squared errors, as shares of the largest."""
GAP, SOLVE_S, PLAN_S = 1e-4, 2.0, 5.0


def main() -> int:
    words = parsed()
    solve(instance(2, 2, True, 0), max_error_sq=1.0)  # imports are not counted
    rows = []
    for correlated in (True, False):
        for seed in range(words.seeds):
            layers = instance(words.layers, words.candidates, correlated, seed)
            rows += [one_solution(layers, correlated, seed, words.params, s) for s in SHARES]
    show(("instance", "seed", "error limit", "seconds", "gap"), rows)
    slowest, widest = (max(row[column] for row in rows) for column in (3, 4))
    verdict("slowest solution", slowest, slowest < SOLVE_S, f"under {SOLVE_S} s")
    verdict("largest gap", widest, widest <= GAP, f"at most {GAP}")
    if not words.no_plan:
        plans()
    return 0


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


def one_solution(
    layers: list[LayerChoices], correlated: bool, seed: int, params: bool, share: float
) -> tuple[str, int, float, float, float]:
    limit = share * most_error_sq(layers)
    most = None
    if params:  # a tenth less than the plan without this limit has
        most = int(0.9 * solve(layers, max_error_sq=limit).params)
    start = time.perf_counter()
    found = solve(layers, max_error_sq=limit, max_params=most)
    seconds = time.perf_counter() - start
    return "correlated" if correlated else "not", seed, share, seconds, found.gap


def plans() -> None:
    with tempfile.TemporaryDirectory() as folder:
        common = {"backend": "fake", "db": f"sqlite:///{folder}/rankwise.db"}
        profile("resnet152", **common)
        rows = []
        for limit in (0.3, 0.25, 0.35):
            start = time.perf_counter()
            output = Path(folder, "plan.json")
            found = plan("resnet152", max_error=limit, refine=False, output=output, **common)
            taken = time.perf_counter() - start
            kinds = [one.decomposition.kind for one in found.layers]
            rows.append((limit, len(kinds) - kinds.count("original"), taken))
        show(("max error", "layers decomposed", "seconds"), rows)
        slowest = max(taken for _, _, taken in rows[1:])
        verdict("plan from a filled store", slowest, slowest < PLAN_S, f"under {PLAN_S} s")


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--layers", type=int, default=1000)
    parser.add_argument("--candidates", type=int, default=100, help="of each layer")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--params", action="store_true", help="and a limit on parameters")
    parser.add_argument("--no-plan", action="store_true")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
