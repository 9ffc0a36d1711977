"""What a study tries first, how it judges what breaks limits, and that it says nothing."""

from __future__ import annotations

import os
from dataclasses import replace
from random import Random

import pytest

from rankwise.errors import GoalNotReached
from rankwise.records import Decomposition
from rankwise.search.exact import Ceiling, SolverLimits, solve
from rankwise.search.quiet import silent_output
from rankwise.search.space import Assignment, Choice, LayerChoices, prune
from rankwise.search.study import run_study

LIMIT = 0.02


def make_layers() -> list[LayerChoices]:
    random = Random(3)

    def choice(rank: int) -> Choice:
        lost = 1 - rank / 80
        error_sq = 0.01 * lost**2 * random.uniform(0.8, 1.2)
        return Choice(Decomposition("svd", (rank,)), lost * random.uniform(0.5, 1), 0.0, error_sq)

    return [
        LayerChoices(f"l{number}", "k", (Choice(), *map(choice, (8, 16, 24, 32, 48, 64))))
        for number in range(5)
    ]


def test_the_exact_solutions_of_smaller_errors_are_tried_first() -> None:
    layers, seen = make_layers(), list[Assignment]()

    def measured(assignment: Assignment) -> float:
        seen.append(assignment)
        return assignment.saving_s

    result = run_study(layers, SolverLimits(LIMIT), trials=4, measured=measured)
    shares = (1.0, 0.9, 0.75, 0.5)
    expected = {solve(layers, SolverLimits(share * LIMIT)).key for share in shares}
    assert len(expected) == 4, "the limits differ enough to tell them apart"
    assert {assignment.key for assignment in seen} == expected
    assert result.trials == 4


@pytest.mark.parametrize("limited", ["parameters", "saving"])
def test_where_half_of_the_error_is_too_little_nothing_is_asked_of_it(limited: str) -> None:
    """Another limit may need all the error there is: smaller ones have no solution then."""
    layers = make_layers()
    best = solve(layers, SolverLimits(LIMIT))

    def ranks(_name: str, choice: Choice) -> float:
        return sum(choice.decomposition.ranks) or 80

    total = sum(ranks("", choice) for choice in best.choices)
    limits = (
        SolverLimits(LIMIT, (Ceiling("parameters", total, ranks),))
        if limited == "parameters"
        else SolverLimits(LIMIT, min_saving_s=best.saving_s)
    )
    with pytest.raises(GoalNotReached):
        solve(layers, replace(limits, max_error_sq=LIMIT / 2))
    assert limits.allow(run_study(layers, limits, trials=2).best)


def test_a_best_that_falls_short_says_by_how_much() -> None:
    """Where every trial is measured to be bad, the best is still one of those measured."""
    layers = make_layers()
    best = solve(layers, SolverLimits(LIMIT))

    def measured(assignment: Assignment) -> float:
        return 0.0 if assignment.key == best.key else 1.0 + assignment.saving_s

    result = run_study(layers, SolverLimits(LIMIT), trials=4, measured=measured)
    assert result.best.key != best.key
    assert result.gap == pytest.approx(1 - result.best.saving_s / best.saving_s)
    assert result.value == pytest.approx(1 + result.best.saving_s)


@pytest.mark.parametrize("error", [OSError, TypeError, AttributeError, ValueError])
def test_without_a_standard_output_there_is_nothing_to_protect(
    error: type[Exception], monkeypatch: pytest.MonkeyPatch
) -> None:
    def closed(_descriptor: int) -> int:
        raise error("no such output")

    monkeypatch.setattr(os, "dup", closed)
    ran = False
    with silent_output():
        ran = True
    assert ran


def with_params(rank: int, saving_s: float, error_sq: float, params: int) -> Choice:
    return Choice(Decomposition("svd", (rank,)), saving_s, error_sq=error_sq, params=params)


def test_where_an_amount_is_limited_what_has_less_of_it_stays() -> None:
    original = Choice(params=100)
    large, small = with_params(8, 2.0, 0.1, 90), with_params(4, 1.0, 0.1, 10)
    again, heavier = with_params(6, 2.0, 0.1, 90), with_params(16, 0.0, 0.0, 101)

    def amounts(choice: Choice) -> float:
        return choice.params

    assert prune([original, large, small], [amounts]) == (original, large, small)
    assert prune([original, large, small]) == (original, large)
    assert prune([original, large, again], [amounts]) == (original, large)
    assert prune([original, heavier], [amounts]) == (original,)


def test_limits_are_exceeded_by_a_share_of_themselves() -> None:
    plan = Assignment(("a", "b"), (with_params(8, 2.0, 0.1, 90), with_params(4, 1.0, 0.2, 10)))

    def excess(limit: float) -> float:
        return Ceiling("parameters", limit, lambda _name, choice: choice.params).excess(plan)

    assert excess(float("inf")) == -1.0
    assert excess(50) == pytest.approx(1.0)
    assert excess(200) == pytest.approx(-0.5)
    assert excess(0) == pytest.approx(100)
    assert excess(100) == 0
    assert excess(100 * (1 - 1e-10)) == 0, "but for rounding"
    assert excess(100 * (1 - 1e-8)) > 0
    exceeded = SolverLimits(0.15, min_saving_s=6.0).violations(plan)
    assert exceeded == pytest.approx({"error": 1.0, "saving": 0.5})
    assert SolverLimits(0.3, min_saving_s=3.0).allow(plan)
    assert not SolverLimits(0.2, min_saving_s=3.0).allow(plan)
    assert not SolverLimits(0.3, min_saving_s=3.1).allow(plan)
    assert SolverLimits(0).max_error_sq == 0
