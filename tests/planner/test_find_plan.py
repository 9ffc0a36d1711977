"""A plan from its problem: what is read when, what is promised, and what an interrupt leaves."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rankwise.errors import GoalNotReached
from rankwise.models.pictures import Calibration, FloatArray, load_calibration
from rankwise.models.splits import SplitName
from rankwise.planner import find_plan as module
from rankwise.planner import learning
from rankwise.planner.confirmation import Confirmed
from rankwise.planner.find_plan import find_plan
from rankwise.planner.problem import PlanProblem, choices
from rankwise.planner.promise import interval
from rankwise.planner.solution import Solution, original, solve_as_asked

Problems = Callable[..., PlanProblem]
SHAPE = (1, 3, 12, 12)


def refuse(*_: object, **__: object) -> Any:
    raise AssertionError("this was not to be done")


def interrupt(*_: object, **__: object) -> Any:
    raise KeyboardInterrupt


class TestPromise:
    def test_the_confirm_split_is_read_last_and_the_report_split_never(
        self,
        problem_of: Problems,
        rows_of: Callable[[int], Path],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        log: list[str] = []
        calibration = load_calibration(rows_of(20), None, SHAPE)

        def make(split: SplitName) -> FloatArray:
            log.append(split)
            return calibration.make(split)

        def learned(*given: Any) -> Any:
            found = learning.learn(*given)
            log.append("learned")
            return found

        monkeypatch.setattr(module, "learn", learned)
        problem = problem_of(pictures=replace(calibration, make=make), refine=True)
        assert "confirm" not in log
        plan = find_plan(problem).document
        assert plan.promise is not None
        assert plan.promise.confirmed
        assert set(log[: log.index("learned")]) == {"fit", "select"}
        assert log[log.index("learned") :] == ["learned", "confirm"]

    def test_it_is_the_bound_on_the_confirm_split(
        self, problem_of: Problems, calibration: Calibration
    ) -> None:
        problem = problem_of(confidence=0.8)
        plan = find_plan(problem).document
        promise = plan.promise
        assert promise is not None
        assert (promise.confidence, promise.pictures, promise.max_error) == (0.8, 6, 0.3)
        assert 1 <= promise.looks <= 8
        # What a user computes from the plan's network.
        compressed = problem.assembly.network_with(plan.decisions)
        assert not plan.match_channels  # the problem's assembly does not
        error = relative_error(problem, compressed, calibration.confirm)
        assert promise.network_error == pytest.approx(error, rel=1e-4)
        assert plan.predicted.network_error == pytest.approx(
            relative_error(problem, compressed, calibration.select), rel=1e-4
        )
        held_back, select = problem.evidence.confirm, problem.evidence.select
        assert held_back is not None
        of = [one.of(plan.decisions) for one in (held_back, select)]
        assert promise.upper == interval(of[0], 6, 0.8, of[1:]).high <= 0.3

    def test_more_confidence_costs_error(self, problem_of: Problems) -> None:
        sure, bold = (
            find_plan(problem_of(confidence=level)).document.predicted for level in (0.9999, 0.5)
        )
        assert sure.network_error < bold.network_error
        assert sure.speedup < bold.speedup

    @pytest.mark.parametrize("count", [3, 0])
    def test_nothing_is_promised_without_pictures_to_confirm(
        self, problem_of: Problems, rows_of: Callable[[int], Path], count: int
    ) -> None:
        pictures = load_calibration(rows_of(count), None, SHAPE) if count else None
        plan = find_plan(problem_of(pictures=pictures)).document
        promise = plan.promise
        assert plan.decisions
        assert promise is not None
        assert (promise.confirmed, promise.pictures, promise.looks) == (False, 0, 0)
        assert promise.reason == "there are no pictures to confirm it on"
        assert promise.network_error is promise.upper is None

    def test_a_plan_that_cannot_be_confirmed_is_the_original(
        self, problem_of: Problems, monkeypatch: pytest.MonkeyPatch, told: Any
    ) -> None:
        monkeypatch.setattr(module, "confirmed", lambda *_: None)
        plan = find_plan(problem_of()).document
        assert not plan.decisions
        assert plan.promise is not None
        assert not plan.promise.confirmed
        assert plan.promise.reason == "no plan could be confirmed"
        assert (plan.predicted.speedup, plan.predicted.network_error) == (1, 0)
        assert "no plan keeps the limit on the confirm split" in told.messages


def relative_error(problem: PlanProblem, compressed: Any, examples: np.ndarray) -> float:
    (wanted,) = problem.setup.network.outputs(examples).values()
    (given,) = compressed.outputs(examples).values()
    return float(np.linalg.norm(given - wanted) / np.linalg.norm(wanted))


class TestInterrupts:
    def test_the_additive_plan_is_left_where_nothing_was_timed_yet(
        self, problem_of: Problems, monkeypatch: pytest.MonkeyPatch, told: Any
    ) -> None:
        monkeypatch.setattr(learning, "timed", interrupt)
        plan = find_plan(problem_of(refine=True)).document
        assert plan.decisions
        assert plan.promise is not None
        assert not plan.promise.confirmed
        assert "interrupted" in plan.promise.reason
        assert plan.predicted.runs == 0
        assert told.messages[-1] == "interrupted: what follows is the best plan so far"

    def test_a_confirmed_plan_stays_confirmed(
        self, problem_of: Problems, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        confirmed: list[Confirmed] = []

        def noted(*given: Any) -> Any:
            from rankwise.planner.confirmation import confirmed as confirm

            confirmed.append(confirm(*given))
            return confirmed[-1]

        monkeypatch.setattr(module, "confirmed", noted)
        monkeypatch.setattr(module, "timed", interrupt)
        plan = find_plan(problem_of(refine=True)).document
        assert plan.decisions == confirmed[0].assignment.decisions
        assert plan.promise is not None
        assert plan.promise.confirmed
        assert plan.promise.upper == confirmed[0].interval.high
        assert plan.predicted.runs >= 3

    def test_an_interrupt_of_the_confirmation_keeps_what_was_learned(
        self, problem_of: Problems, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(module, "confirmed", interrupt)
        plan = find_plan(problem_of(refine=True)).document
        assert plan.decisions
        assert plan.promise is not None
        assert not plan.promise.confirmed
        assert plan.predicted.runs >= 3

    def test_time_that_is_up_times_no_network(
        self, problem_of: Problems, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for one in (module, learning):
            monkeypatch.setattr(one, "timed", refuse)
        plan = find_plan(problem_of(refine=True, max_time_s=1e-6)).document
        assert plan.decisions
        assert plan.promise is not None
        assert plan.promise.confirmed
        assert plan.predicted.network_error <= 0.3


class TestFinalRun:
    def test_a_plan_that_is_no_faster_gives_way_to_the_original(
        self, problem_of: Problems, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Nothing is said of the error of a plan that is not there any more."""
        timed = module.timed

        def slow(problem: Any, plans: Iterable[Any], **given: Any) -> Any:
            runs = timed(problem, plans, **given)
            return {key: (one, replace(run, speedup_low=0.99)) for key, (one, run) in runs.items()}

        monkeypatch.setattr(module, "timed", slow)
        plan = find_plan(problem_of(refine=True)).document
        assert not plan.decisions
        assert plan.promise is not None
        assert plan.promise.confirmed
        assert plan.promise.network_error == plan.predicted.network_error == 0

    def test_few_passes_and_the_final_run_is_in_the_document(self, problem_of: Problems) -> None:
        plan = find_plan(problem_of(refine=True)).document
        assert 0 < plan.search.passes <= 30
        assert plan.predicted.own_run
        assert plan.predicted.runs >= 4
        replaced = [one for one in plan.layers if one.name in plan.decisions]
        assert all(one.in_network_saving_s is not None for one in replaced)

    def test_without_refinement_no_network_is_timed(
        self, problem_of: Problems, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for one in (module, learning):
            monkeypatch.setattr(one, "timed", refuse)
        assert find_plan(problem_of()).document.predicted.runs == 0

    def test_the_original_gives_way_to_nothing_where_a_limit_excludes_it(
        self, problem_of: Problems, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        problem = problem_of()
        whole = original(choices(problem)).params
        objective = replace(problem.objective, max_params=whole - 1)
        monkeypatch.setattr(module, "confirmed", lambda *_: None)
        assert not find_plan(problem).document.decisions
        with pytest.raises(GoalNotReached, match="relax one of them"):
            find_plan(problem.aimed_at(objective))


def test_an_interrupt_while_channels_are_matched_keeps_the_plan(
    problem_of: Problems, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "with_matched_channels", interrupt)
    plan = find_plan(problem_of()).document
    assert plan.decisions
    assert plan.promise is not None
    assert not plan.promise.confirmed


def test_matched_channels_are_searched_for_from_what_was_found(
    problem_of: Problems, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second search begins where the first one ended."""
    budgets: list[float | None] = []

    def solved(problem: PlanProblem, layers: Any, budget: float | None = None) -> Solution:
        budgets.append(budget)
        return solve_as_asked(problem, layers, budget)

    monkeypatch.setattr(module, "solve_as_asked", solved)
    monkeypatch.setattr(module, "with_matched_channels", lambda problem, _: replace(problem))
    problem = problem_of()
    first = solve_as_asked(problem, choices(problem))
    find_plan(problem)
    assert budgets == [None, first.full_budget]
