"""Fronts: held against brute force, and against each other by the area they dominate."""

from __future__ import annotations

from itertools import product
from random import Random

import pytest

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


def every(layers: list[LayerChoices]) -> list[Assignment]:
    names = tuple(layer.name for layer in layers)
    plans = product(*(layer.choices for layer in layers))
    return [a for a in (Assignment(names, plan) for plan in plans) if a.error_sq <= LIMIT]


def test_exact_front_lies_on_the_front_of_all_plans() -> None:
    layers = make_layers(3)
    true = front.pareto(every(layers))
    found = front.exact_front(layers, LIMIT, 12)
    savings = {round(a.saving_s, 12) for a in true}
    assert len(found) > 4
    assert {round(a.saving_s, 12) for a in found} <= savings
    share = front.hypervolume(found, LIMIT) / front.hypervolume(true, LIMIT)
    assert 0.8 < share <= 1


def test_pareto_keeps_what_nothing_beats() -> None:
    plans = every(make_layers(2))
    kept = front.pareto(plans)
    for plan in plans:
        assert any(k.saving_s >= plan.saving_s and k.error_sq <= plan.error_sq for k in kept)
    pairs = [(k.error_sq, k.saving_s) for k in kept]
    assert pairs == sorted(pairs)
    assert len({saving for _, saving in pairs}) == len(pairs)


@pytest.mark.parametrize("sampler", ["nsgaii", "nsgaiii", "tpe"])
def test_sampled_front_keeps_the_limit_and_contains_its_seeds(sampler: str) -> None:
    layers = make_layers(4)
    exact = front.exact_front(layers, LIMIT, 6)
    found = front.sampled_front(layers, LIMIT, trials=30, sampler=sampler, seeds=exact)
    assert all(a.error_sq <= LIMIT * (1 + 1e-9) for a in found)
    assert front.hypervolume(found, LIMIT) >= front.hypervolume(exact, LIMIT) * (1 - 1e-9)
    again = front.sampled_front(layers, LIMIT, trials=30, sampler=sampler, seeds=exact)
    assert [a.key for a in again] == [a.key for a in found]


def test_hypervolume_of_a_known_front() -> None:
    layers = make_layers(1)
    original, best = Assignment(("l",), (layers[0].choices[0],)), None
    assert front.hypervolume([original], LIMIT) == 0
    best = Assignment(("l",), (layers[0].choices[-1],))
    expected = (LIMIT - best.error_sq) * best.saving_s
    assert front.hypervolume([original, best], LIMIT) == pytest.approx(expected)


def test_a_front_has_two_points() -> None:
    with pytest.raises(UsageError, match="at least 2 points"):
        front.budgets(0.1, 1)
    assert front.budgets(0.1, 5)[-1] == pytest.approx(0.1)
