"""The exact solver against brute force, and what it promises about its own answer."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from random import Random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rankwise.errors import GoalNotReached, UsageError
from rankwise.records import Decomposition
from rankwise.search import exact, knapsack
from rankwise.search.space import Assignment, Choice, LayerChoices

GAP = 1e-4 + 1e-9


def make_layers(count: int, candidates: int, seed: int = 0) -> list[LayerChoices]:
    """Layers whose candidates trade error for saving, with noise, as measured ones do."""
    random = Random(seed)
    return [_layer(f"l{i}", candidates, random) for i in range(count)]


def _layer(name: str, candidates: int, random: Random) -> LayerChoices:
    size, error, params = random.random(), random.random(), random.randrange(100, 1000)
    choices = [Choice(params=params)]
    for step in range(candidates):
        share = (step + 1) / (candidates + 1)
        choices.append(
            Choice(
                Decomposition("svd", (8 * (step + 1),)),
                saving_s=size * 1e-3 * (0.9 - share * random.uniform(0.8, 1.0)),
                error_sq=error * 1e-2 * (1 - share) ** 2 * random.uniform(0.7, 1.3),
                params=int(params * share),
            )
        )
    return LayerChoices(name, f"k{name}", tuple(choices))


def every(layers: list[LayerChoices]) -> list[Assignment]:
    names = tuple(layer.name for layer in layers)
    return [Assignment(names, plan) for plan in product(*(layer.choices for layer in layers))]


NO_LIMITS = exact.SolverLimits()


def parameters(limit: float | None) -> tuple[exact.Ceiling, ...]:
    return () if limit is None else (exact.Ceiling("parameters", limit, lambda _, c: c.params),)


def oracle(layers: list[LayerChoices], limits: exact.SolverLimits) -> float | None:
    allowed = [limits.value(plan) for plan in every(layers) if limits.allow(plan)]
    return max(allowed, default=None)


whole = st.integers(0, 8)
choice = st.builds(
    lambda rank, saving, error, params: Choice(
        Decomposition("svd", (rank,)), saving_s=saving, error_sq=error, params=params
    ),
    st.integers(1, 9),
    st.integers(-3, 8),
    whole,
    whole,
)
layer_lists = st.lists(
    st.builds(
        lambda others, params: LayerChoices("l", "k", (Choice(params=params), *others)),
        st.lists(choice, max_size=4),
        whole,
    ),
    max_size=4,
)
real = st.builds(make_layers, st.integers(1, 4), st.integers(1, 5), st.integers(0, 2**32 - 1))

# A limit of next to nothing is beyond the solver's tolerances, and beyond any purpose.
shares = st.none() | st.just(0.0) | st.floats(1e-4, 1)


@settings(deadline=None, max_examples=150)
@given(
    st.one_of(layer_lists, real),
    shares,
    shares,
    shares,
    st.none() | st.integers(0, 30),
)
def test_it_agrees_with_brute_force(
    layers: list[LayerChoices],
    error_share: float | None,
    params_share: float | None,
    saving_share: float | None,
    most_rank: int | None,
) -> None:
    plans = every(layers)
    ceilings = parameters(_share(params_share, max(plan.params for plan in plans)))
    if most_rank is not None:
        rank = exact.Ceiling("ranks", most_rank, lambda _, c: sum(c.decomposition.ranks))
        ceilings = (*ceilings, rank)
    limits = exact.SolverLimits(
        _share(error_share, max(plan.error_sq for plan in plans)),
        ceilings,
        _share(saving_share, max(plan.saving_s for plan in plans)),
    )
    best = oracle(layers, limits)
    if best is None:
        with pytest.raises(GoalNotReached):
            exact.solve(layers, limits)
        return
    found = exact.solve(layers, limits)
    assert limits.allow(found)
    value = limits.value(found)
    assert abs(value - best) <= GAP * abs(best) + 1e-15
    bound = -found.bound if limits.minimise_error else found.bound
    assert bound >= best - 1e-8 * abs(best)
    assert found.gap <= GAP
    assert found.names == tuple(layer.name for layer in layers)


def _share(share: float | None, total: float) -> float | None:
    return None if share is None else share * total


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 2**32 - 1), st.floats(0.05, 0.9))
def test_no_single_swap_makes_it_better(seed: int, share: float) -> None:
    layers = make_layers(12, 10, seed)
    everything = exact.solve(layers, NO_LIMITS)
    limits = exact.SolverLimits(everything.error_sq * share)
    found = exact.solve(layers, limits)
    for i, layer in enumerate(layers):
        for other in layer.choices:
            swapped = replace(found, choices=(*found.choices[:i], other, *found.choices[i + 1 :]))
            better = swapped.saving_s > found.saving_s + 1e-12
            assert not (better and limits.allow(swapped))


def test_a_large_network_is_solved_within_the_gap() -> None:
    layers = make_layers(300, 40)
    everything = exact.solve(layers, NO_LIMITS)
    limit = everything.error_sq / 20
    found = exact.solve(layers, exact.SolverLimits(limit))
    assert found.gap <= GAP
    assert found.error_sq <= limit * (1 + knapsack.SLACK)
    back = exact.solve(layers, exact.SolverLimits(min_saving_s=found.saving_s))
    assert back.error_sq <= found.error_sq * (1 + GAP)
    ceilings = parameters(int(found.params * 0.97))
    fewer = exact.solve(layers, exact.SolverLimits(limit, ceilings))
    assert fewer.params <= found.params * 0.97
    assert fewer.gap <= GAP


@pytest.mark.parametrize("params", [False, True])
@pytest.mark.parametrize("share", [0.02, 0.3])
def test_layers_of_unlike_sizes_need_no_search_of_all_items(
    share: float, params: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A few layers are so much larger than the others that the relaxation's picks leave much room,
    and two limits leave it in no layer alone: branching over all items took half a minute."""
    random, layers = Random(0), []
    for layer in make_layers(1000, 100):
        times, errors = random.lognormvariate(0, 0.8), random.lognormvariate(0, 1.0)
        choices = [
            replace(c, saving_s=c.saving_s * times, error_sq=c.error_sq * errors)
            for c in layer.choices
        ]
        layers.append(replace(layer, choices=tuple(choices)))
    limit = share * exact.most_error_sq(layers)
    fewer = None
    if params:
        fewer = int(0.9 * exact.solve(layers, exact.SolverLimits(limit)).params)
    monkeypatch.setattr(knapsack, "_by_highs", None)
    found = exact.solve(layers, exact.SolverLimits(limit, parameters(fewer)))
    assert found.gap <= GAP
    assert fewer is None or found.params <= fewer


def test_no_limit_takes_each_layers_best_saving() -> None:
    layers = make_layers(5, 6)
    found = exact.solve(layers, NO_LIMITS)
    assert found.saving_s == pytest.approx(
        sum(max(c.saving_s for c in layer.choices) for layer in layers)
    )


def test_no_error_allowed_keeps_every_layer() -> None:
    layers = make_layers(5, 6)
    found = exact.solve(layers, exact.SolverLimits(0.0))
    assert all(choice.decomposition.is_original for choice in found.choices)
    assert (found.bound, found.gap) == (0.0, 0.0)


def test_a_sum_that_is_the_limit_but_for_rounding_is_allowed() -> None:
    choices = [
        LayerChoices(
            str(error), "k", (Choice(), Choice(Decomposition("svd", (8,)), 1.0, error_sq=error))
        )
        for error in (0.1, 0.2)
    ]
    assert exact.solve(choices, exact.SolverLimits(0.3)).saving_s == 2.0


def test_no_layers_is_an_empty_plan() -> None:
    assert exact.solve([], exact.SolverLimits(1.0)).choices == ()


@pytest.mark.parametrize(
    ("limits", "sentence"),
    [
        ({"ceilings": parameters(1)}, "at most 1 parameters"),
        ({"min_saving_s": 1e9}, "No plan saves 1e"),
        ({"min_saving_s": 1e-9, "max_error_sq": 0.0}, "No plan saves"),
    ],
)
def test_what_cannot_be_reached_is_said_in_a_sentence(
    limits: dict[str, Any], sentence: str
) -> None:
    with pytest.raises(GoalNotReached, match=sentence):
        exact.solve(make_layers(3, 3), exact.SolverLimits(**limits))


@pytest.mark.parametrize("limit", [-0.1, float("nan")])
def test_senseless_limits_are_refused(limit: float) -> None:
    with pytest.raises(UsageError, match=r"squared error is .*zero or more"):
        exact.SolverLimits(limit)
    with pytest.raises(UsageError, match=r"parameters is .*zero or more"):
        exact.SolverLimits(ceilings=parameters(limit))


def test_the_solver_prints_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    layers = make_layers(100, 20, seed=3)
    everything = exact.solve(layers, NO_LIMITS)
    for share in (0.01, 0.02, 0.05):
        exact.solve(layers, exact.SolverLimits(everything.error_sq * share))
    print("after")
    assert capfd.readouterr() == ("after\n", "")


def test_an_error_at_the_limit_but_for_rounding_is_allowed() -> None:
    limit = 1 - 1e-16
    layers = [LayerChoices("l", "k", (Choice(), Choice(Decomposition("svd", (1,)), 1.0, 0.0, 1.0)))]
    assert exact.SolverLimits(limit).allow(exact.solve(layers, exact.SolverLimits(limit)))
    assert exact.solve(layers, exact.SolverLimits(limit)).saving_s == 1


def test_nothing_allowed_is_known_to_be_the_best() -> None:
    """Relative to a value of zero any slack in the bound is infinite."""
    too_large = Choice(Decomposition("svd", (1,)), 1.0, params=2)
    layers = [LayerChoices("l", "k", (Choice(), too_large))]
    found = exact.solve(layers, exact.SolverLimits(ceilings=parameters(1)))
    assert found.gap == 0
