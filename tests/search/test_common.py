"""One plan for several devices, against brute force over all plans of small networks."""

from __future__ import annotations

from itertools import product
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rankwise.errors import GoalNotReached
from rankwise.records import Decomposition
from rankwise.search import exact
from rankwise.search.common import CommonSolver, DeviceSavings
from rankwise.search.exact import Ceiling, SolverLimits
from rankwise.search.space import Assignment, Choice, LayerChoices

GAP = 1e-4 + 1e-9


def planted(
    layers: int, candidates: int, devices: int, seed: int
) -> tuple[list[LayerChoices], CommonSolver]:
    """Layers whose candidates save differently on each device; some cost time on some."""
    random = Random(seed)
    made, savings = [], [dict[tuple[str, Decomposition], float]() for _ in range(devices)]
    for number in range(layers):
        name, choices = f"l{number}", [Choice(params=100)]
        for rank in range(1, candidates + 1):
            chosen = Decomposition("svd", (8 * rank,))
            seconds = [random.uniform(-0.3, 1.0) for _ in range(devices)]
            for one, saved in zip(savings, seconds, strict=True):
                one[name, chosen] = saved
            error = random.random() / rank
            params = random.randrange(20, 90)
            choices.append(Choice(chosen, seconds[0], error_sq=error, params=params))
        made.append(LayerChoices(name, f"k{name}", tuple(choices)))
    totals = [2.0 * layers * random.uniform(0.5, 2) for _ in range(devices)]
    found = (DeviceSavings(*pair) for pair in zip(totals, savings, strict=True))
    return made, CommonSolver(tuple(found))


def every(layers: list[LayerChoices]) -> list[Assignment]:
    names = tuple(layer.name for layer in layers)
    return [Assignment(names, plan) for plan in product(*(layer.choices for layer in layers))]


def swapped(layers: list[LayerChoices], plan: Assignment) -> list[Assignment]:
    """All plans that differ in one layer."""
    return [
        Assignment(plan.names, (*plan.choices[:place], choice, *plan.choices[place + 1 :]))
        for place, layer in enumerate(layers)
        for choice in layer.choices
    ]


def parameters(limit: float) -> tuple[Ceiling, ...]:
    return (Ceiling("parameters", limit, lambda _, choice: choice.params),)


@settings(max_examples=60)
@given(
    layers=st.integers(1, 4),
    candidates=st.integers(1, 4),
    devices=st.integers(1, 4),
    seed=st.integers(0, 10_000),
    share=st.sampled_from([0.0, 0.1, 0.3, 0.7, None]),
    kept=st.sampled_from([0.6, 0.8, None]),
)
def test_no_plan_has_a_larger_least_gain(
    layers: int, candidates: int, devices: int, seed: int, share: float | None, kept: float | None
) -> None:
    made, solver = planted(layers, candidates, devices, seed)
    error = None if share is None else share * exact.most_error_sq(made)
    limits = SolverLimits(error, () if kept is None else parameters(kept * 100 * layers))
    allowed = [solver.saving_s(plan) for plan in every(made) if limits.allow(plan)]
    if not allowed:
        with pytest.raises(GoalNotReached):
            solver.solve(made, limits)
        return
    found = solver.solve(made, limits)
    assert limits.allow(found)
    assert solver.saving_s(found) == pytest.approx(max(allowed), rel=GAP, abs=1e-9)
    least = solver.saving_s(found)
    others = [
        sum(solver.gains(plan))
        for plan in swapped(made, found)
        if limits.allow(plan) and solver.saving_s(plan) >= least
    ]
    assert max(others, default=0.0) <= sum(solver.gains(found)) + 1e-6
    assert found.bound is not None
    assert found.bound >= max(allowed) - 1e-6 * abs(max(allowed)) - 1e-9


@settings(max_examples=40)
@given(layers=st.integers(1, 4), devices=st.integers(1, 4), seed=st.integers(0, 10_000))
def test_no_plan_of_less_error_reaches_the_gain_everywhere(
    layers: int, devices: int, seed: int
) -> None:
    made, solver = planted(layers, 4, devices, seed)
    most = max(solver.saving_s(plan) for plan in every(made))
    limits = SolverLimits(min_saving_s=0.7 * most)
    enough = [plan for plan in every(made) if solver.saving_s(plan) >= 0.7 * most]
    found = solver.solve(made, limits)
    assert solver.saving_s(found) >= 0.7 * most * (1 - GAP) - 1e-9
    least = min(plan.error_sq for plan in enough)
    assert found.error_sq <= least * (1 + GAP) + 1e-9
    with pytest.raises(GoalNotReached):
        solver.solve(made, SolverLimits(min_saving_s=1.5 * most + 1.0))


@given(seed=st.integers(0, 10_000), layers=st.integers(1, 5))
def test_of_one_device_it_is_the_knapsack(seed: int, layers: int) -> None:
    made, solver = planted(layers, 5, 1, seed)
    limits = SolverLimits(0.3 * exact.most_error_sq(made))
    alone = exact.solve(made, limits)
    assert solver.saving_s(solver.solve(made, limits)) == pytest.approx(alone.saving_s, rel=2 * GAP)


def test_the_common_plan_is_none_of_the_devices_own() -> None:
    """Two devices, each of which gains nothing by the other's best plan."""
    ways = [Decomposition("svd", (rank,)) for rank in (8, 16, 24)]
    gains = ([1.0, 0.0, 0.6], [0.0, 1.0, 0.6])
    choices = (Choice(), *(Choice(way, error_sq=0.1) for way in ways))
    devices = tuple(
        DeviceSavings(2.0, {("l", way): saved for way, saved in zip(ways, of, strict=True)})
        for of in gains
    )
    found = CommonSolver(devices).solve([LayerChoices("l", "k", choices)], SolverLimits(0.1))
    assert found.decisions == {"l": ways[2]}
    assert CommonSolver(devices).gains(found) == [0.3, 0.3]


def test_a_network_of_many_layers() -> None:
    made, solver = planted(60, 20, 3, seed=1)
    found = solver.solve(made, SolverLimits(0.2 * exact.most_error_sq(made)))
    assert found.gap is not None
    assert found.gap <= 1e-3
