"""What whole networks that are timed teach: which are timed, and that none is timed twice."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest

from rankwise.planner import learning, whole_runs
from rankwise.planner.find_plan import find_plan
from rankwise.planner.learning import learn
from rankwise.planner.problem import PlanProblem, choices
from rankwise.planner.solution import original, solve_as_asked
from rankwise.search.space import Assignment

Problems = Callable[..., PlanProblem]


class Runs:
    """Notes the plans that are timed, by what for."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.plans: list[Assignment] = []
        self.prepared: Counter[str] = Counter()
        timed, compared = whole_runs.timed, vars(whole_runs)["_compared"]

        def noted(problem: Any, plans: Any, **given: Any) -> Any:
            self.plans += plans
            return timed(problem, plans, **given)

        def counted(problem: Any, plans: Any, preparations: Any) -> Any:
            self.prepared.update(list(plans))
            return compared(problem, plans, preparations)

        monkeypatch.setattr(learning, "timed", noted)
        monkeypatch.setattr(whole_runs, "_compared", counted)


@pytest.fixture
def runs(monkeypatch: pytest.MonkeyPatch) -> Runs:
    return Runs(monkeypatch)


def test_the_halves_share_out_the_replaced_layers(problem_of: Problems, runs: Runs) -> None:
    problem = problem_of(refine=True)
    layers = choices(problem)
    solution = solve_as_asked(problem, layers)
    learned = learn(problem, layers, solution)
    seed, first, second = runs.plans[:3]
    assert seed == solution.assignment
    assert len(seed.decisions) == 3
    assert {len(first.decisions), len(second.decisions)} == {1, 2}
    assert not first.decisions.keys() & second.decisions.keys()
    assert first.decisions | second.decisions == seed.decisions
    assert {plan.key for plan, _ in learned.runs.values()} == {one.key for one in runs.plans}


@pytest.mark.usefixtures("runs")
def test_a_single_layer_has_no_halves_but_itself(problem_of: Problems) -> None:
    problem = problem_of(0.01, refine=True)
    layers = choices(problem)
    solution = solve_as_asked(problem, layers)
    assert len(solution.assignment.decisions) == 1
    learned = learn(problem, layers, solution)
    assert all(plan.decisions for plan, _ in learned.runs.values())


@pytest.mark.parametrize("max_error", [0.07, 0.2])
def test_nothing_is_timed_twice_and_a_second_plan_times_nothing(
    problem_of: Problems, runs: Runs, max_error: float
) -> None:
    first = find_plan(problem_of(max_error, refine=True)).document
    assert runs.prepared
    assert set(runs.prepared.values()) == {1}
    runs.prepared.clear()
    again = find_plan(problem_of(max_error, refine=True)).document
    assert not runs.prepared
    assert (again.layers, again.predicted, again.promise) == (
        first.layers,
        first.predicted,
        first.promise,
    )


def test_layers_have_what_they_save_in_the_network(problem_of: Problems) -> None:
    """The fake device's networks take as long as their layers, save for what each launch adds."""
    problem = problem_of(refine=True)
    layers = choices(problem)
    learned = learn(problem, layers, solve_as_asked(problem, layers))
    alone = {(one.name, c.decomposition): c.saving_s for one in layers for c in one.choices}
    for layer in learned.layers:
        for choice in layer.choices[1:]:
            assert choice.saving_s == pytest.approx(
                alone[layer.name, choice.decomposition], rel=0.2
            )
    assert learned.solution.assignment.names == tuple(one.name for one in layers)


def test_nothing_is_timed_where_nothing_was_chosen_or_asked(
    problem_of: Problems, runs: Runs
) -> None:
    problem = problem_of(refine=True)
    layers = choices(problem)
    nothing = learning.Solution(original(layers), 0.0)
    found = learn(problem, layers, nothing)
    assert (found.solution, found.layers, found.runs) == (nothing, layers, {})
    asked = problem_of(refine=False)
    assert learn(asked, layers, solve_as_asked(asked, layers)).runs == {}
    late = problem_of(refine=True, max_time_s=1e-6)
    assert learn(late, layers, solve_as_asked(late, layers)).runs == {}
    assert runs.plans == []


def test_a_device_that_runs_no_networks_is_named(
    problem_of: Problems, runs: Runs, told: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(learning, "cannot_time", lambda _: "it has no runtime")
    plan = find_plan(problem_of(refine=True)).document
    assert plan.decisions
    assert plan.predicted.runs == 0
    assert runs.plans == []
    assert "not refined in the network: it has no runtime" in told.messages


def test_what_is_hardly_faster_is_not_timed(
    problem_of: Problems, runs: Runs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The plan and its halves are; nothing is measured for another that would not be timed."""
    monkeypatch.setattr(learning, "WORTH_TIMING", 10.0)
    monkeypatch.setattr(learning, "solve_within", None)
    problem = problem_of(refine=True)
    layers = choices(problem)
    solution = solve_as_asked(problem, layers)
    learned = learn(problem, layers, solution)
    assert len(runs.plans) == 3
    assert learned.solution == solution
