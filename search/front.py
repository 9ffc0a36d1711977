"""The front of saving against error: exact at chosen error limits, or sampled by Optuna."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import TypeVar

from ..errors import GoalNotReached, UsageError
from .encoding import code_layers, encode
from .exact import SolverLimits, pool, solve
from .quiet import quiet_optuna
from .samplers import make_sampler
from .space import Assignment, LayerChoices

Point = TypeVar("Point")

SPAN = 400.0
"""Largest over smallest squared error limit on a front: a factor of 20 in the error."""


def budgets(max_error_sq: float, points: int) -> list[float]:
    """Squared error limits, rising by a constant factor up to `max_error_sq`."""
    if points < 2:
        raise UsageError(f"A front has at least 2 points, not {points}.")
    ratio = SPAN ** (1 / (points - 1))
    return [max_error_sq / ratio**step for step in reversed(range(points))]


def undominated(
    points: Iterable[Point], loss: Callable[[Point], float], gain: Callable[[Point], float]
) -> list[Point]:
    """The points that no other one matches or beats in both loss and gain, by rising loss."""
    kept: list[Point] = []
    for point in sorted(points, key=lambda one: (loss(one), -gain(one))):
        if not kept or gain(point) > gain(kept[-1]):
            kept.append(point)
    return kept


def exact_front(
    layers: Sequence[LayerChoices], max_error_sq: float, points: int
) -> list[Assignment]:
    """The largest saving at each of `points` error limits; different ones, by rising error. A limit
    that no plan keeps, as the layers lose more as they are, has none."""
    plans = dict[str, Assignment]()
    for limit in budgets(max_error_sq, points):
        with suppress(GoalNotReached):
            plan = solve(layers, SolverLimits(limit))
            plans[plan.key] = plan
    return list(plans.values())


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
    tried: list[Assignment] = []
    with quiet_optuna():
        sampling = make_sampler(sampler, seed)
        study = optuna.create_study(directions=["maximize", "minimize"], sampler=sampling)
        for assignment in seeds:
            study.enqueue_trial(encode(codes, assignment.choices))
        for _ in range(max(trials, len(seeds))):
            trial = study.ask()
            plan = Assignment(names, tuple(code.suggest(trial) for code in codes))
            for name, excess in limits.violations(plan).items():
                trial.set_constraint(name, excess)
            study.tell(trial, (plan.saving_s, plan.error_sq))
            tried.append(plan)
    allowed = filter(limits.allow, tried)
    return undominated(allowed, lambda plan: plan.error_sq, lambda plan: plan.saving_s)
