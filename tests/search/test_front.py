"""Fronts, held against brute force and against each other by the area they dominate."""

from __future__ import annotations

from itertools import pairwise, product
from operator import itemgetter
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rankwise.errors import UsageError
from rankwise.records import Decomposition
from rankwise.search import front
from rankwise.search.space import Assignment, Choice, LayerChoices

LIMIT = 0.05


def make_layers(count: int) -> list[LayerChoices]:
    """Layers whose ranks trade error for saving, neither in proportion."""
    random = Random(count)

    def choice(rank: int) -> Choice:
        lost = 1 - rank / 80
        error_sq = 0.02 * lost**2 * random.uniform(0.8, 1.2)
        return Choice(Decomposition("svd", (rank,)), lost * random.uniform(0.9, 1.1), 0.0, error_sq)

    return [
        LayerChoices(f"l{number}", "k", (Choice(), *map(choice, (8, 16, 24, 32, 48, 64))))
        for number in range(count)
    ]


def hypervolume(plans: list[Assignment]) -> float:
    """The area that a front dominates: saving above 0 times squared error below `LIMIT` (Zitzler
    and Thiele 1999)."""
    area, error_sq = 0.0, LIMIT
    for plan in reversed(best_of(plans)):
        if plan.error_sq < error_sq:
            area += (error_sq - plan.error_sq) * max(plan.saving_s, 0.0)
            error_sq = plan.error_sq
    return area


def best_of(plans: list[Assignment]) -> list[Assignment]:
    return front.undominated(plans, lambda plan: plan.error_sq, lambda plan: plan.saving_s)


def every(layers: list[LayerChoices]) -> list[Assignment]:
    names = tuple(layer.name for layer in layers)
    plans = product(*(layer.choices for layer in layers))
    return [a for a in (Assignment(names, plan) for plan in plans) if a.error_sq <= LIMIT]


def test_exact_front_lies_on_the_front_of_all_plans() -> None:
    layers = make_layers(3)
    true = best_of(every(layers))
    found = front.exact_front(layers, LIMIT, 12)
    savings = {round(a.saving_s, 12) for a in true}
    assert len(found) > 4
    assert {round(a.saving_s, 12) for a in found} <= savings
    share = hypervolume(found) / hypervolume(true)
    assert 0.8 < share <= 1


def test_pareto_keeps_what_nothing_beats() -> None:
    plans = every(make_layers(2))
    kept = best_of(plans)
    for plan in plans:
        assert any(k.saving_s >= plan.saving_s and k.error_sq <= plan.error_sq for k in kept)
    pairs = [(k.error_sq, k.saving_s) for k in kept]
    assert pairs == sorted(pairs)
    assert len({saving for _, saving in pairs}) == len(pairs)


NUMBERS = st.floats(0.0, 2.0).map(lambda x: round(x, 2))


@given(st.lists(st.tuples(NUMBERS, NUMBERS), max_size=12))
def test_no_point_is_dominated_and_every_other_is(points: list[tuple[float, float]]) -> None:
    kept = front.undominated(points, itemgetter(0), itemgetter(1))
    assert set(kept) <= set(points)
    for (loss, gain), (more, better) in pairwise(kept):
        assert loss < more
        assert gain < better
    for loss, gain in points:
        assert any(less <= loss and more >= gain for less, more in kept)


@pytest.mark.parametrize("sampler", ["nsgaii", "nsgaiii", "tpe"])
def test_sampled_front_keeps_the_limit_and_contains_its_seeds(sampler: str) -> None:
    layers = make_layers(4)
    exact = front.exact_front(layers, LIMIT, 6)
    found = front.sampled_front(layers, LIMIT, trials=30, sampler=sampler, seeds=exact)
    assert all(a.error_sq <= LIMIT * (1 + 1e-9) for a in found)
    assert hypervolume(found) >= hypervolume(exact) * (1 - 1e-9)
    again = front.sampled_front(layers, LIMIT, trials=30, sampler=sampler, seeds=exact)
    assert [a.key for a in again] == [a.key for a in found]


def test_a_front_has_two_points() -> None:
    with pytest.raises(UsageError, match="at least 2 points"):
        front.budgets(0.1, 1)
    assert front.budgets(0.1, 5)[-1] == pytest.approx(0.1)
