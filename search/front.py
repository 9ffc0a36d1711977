"""The front of saving against error: exact at chosen error limits, or sampled by Optuna."""

from __future__ import annotations

from collections.abc import Sequence

from ..errors import UsageError
from .encoding import code_layers, encode
from .exact import SolverLimits, pool, solve
from .quiet import quiet_optuna
from .samplers import make_sampler
from .space import Assignment, LayerChoices

SPAN = 400.0
"""Largest over smallest squared error limit on a front: a factor of 20 in the error."""


def budgets(max_error_sq: float, points: int) -> list[float]:
    """Squared error limits, rising by a constant factor up to `max_error_sq`."""
    if points < 2:
        raise UsageError(f"A front has at least 2 points, not {points}.")
    ratio = SPAN ** (1 / (points - 1))
    return [max_error_sq / ratio**step for step in reversed(range(points))]


def exact_front(
    layers: Sequence[LayerChoices], max_error_sq: float, points: int
) -> list[Assignment]:
    """The largest saving at each of `points` error limits; different ones, by rising error."""
    found = [solve(layers, max_error_sq=budget) for budget in budgets(max_error_sq, points)]
    return list({assignment.key: assignment for assignment in found}.values())


def sampled_front(
    layers: Sequence[LayerChoices],
    max_error_sq: float,
    *,
    trials: int,
    sampler: str = "nsgaii",
    seed: int = 0,
    seeds: Sequence[Assignment] = (),
) -> list[Assignment]:
    """Optuna's front of a study with two objectives, saving and squared error, by rising error.

    `seeds` are tried first. Trials whose error is above `max_error_sq` are constrained away.
    Raises `UsageError` for an unknown sampler.
    """
    import optuna

    limits = SolverLimits(max_error_sq)
    codes = code_layers(layers, [pool(layer, limits) for layer in layers])
    names = tuple(layer.name for layer in layers)
    tried: dict[int, Assignment] = {}
    with quiet_optuna():
        study = optuna.create_study(
            directions=["maximize", "minimize"], sampler=make_sampler(sampler, seed)
        )
        for assignment in seeds:
            study.enqueue_trial(encode(codes, assignment.choices))
        for _ in range(max(trials, len(seeds))):
            trial = study.ask()
            found = Assignment(names, tuple(code.suggest(trial) for code in codes))
            for name, excess in limits.violations(found).items():
                trial.set_constraint(name, excess)
            study.tell(trial, (found.saving_s, found.error_sq))
            tried[trial.number] = found
    return pareto([a for a in tried.values() if limits.allow(a)])


def pareto(assignments: Sequence[Assignment]) -> list[Assignment]:
    """Those that no other one matches or beats in both saving and error, by rising error."""
    kept: list[Assignment] = []
    for found in sorted(assignments, key=lambda a: (a.error_sq, -a.saving_s)):
        if not kept or found.saving_s > kept[-1].saving_s:
            kept.append(found)
    return kept


def hypervolume(front: Sequence[Assignment], max_error_sq: float) -> float:
    """The area that a front dominates: saving (s) above 0 times squared error below
    `max_error_sq`; what two fronts are compared by (Zitzler and Thiele 1999)."""
    area, error_sq = 0.0, max_error_sq
    for found in reversed(pareto(front)):
        if found.error_sq < error_sq:
            area += (error_sq - found.error_sq) * max(found.saving_s, 0.0)
            error_sq = found.error_sq
    return area
