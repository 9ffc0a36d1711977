"""The study: never worse than its seed, resumable, deterministic, one file of its own."""

from __future__ import annotations

import logging
from pathlib import Path
from random import Random
from typing import Any

import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rankwise.errors import GoalNotReached, MeasurementError, StoreError, UsageError
from rankwise.records import Decomposition
from rankwise.search import exact
from rankwise.search.samplers import make_sampler, sampler_names
from rankwise.search.space import Assignment, Choice, LayerChoices
from rankwise.search.study import StudyResult, TrialEvent, run_study

LIMIT = 0.02


def make_layers(count: int = 5, seed: int = 0) -> list[LayerChoices]:
    random = Random(seed)
    return [_layer(f"layer{i}.conv", random) for i in range(count)]


def _layer(name: str, random: Random) -> LayerChoices:
    size, error = random.random(), random.random()
    choices = [Choice(params=100)]
    for kind in ("svd", "channel_svd"):
        for rank in (8, 16, 24, 32, 64):
            share = rank / 80
            choices.append(
                Choice(
                    Decomposition(kind, (rank,)),
                    saving_s=size * (1 - share) * random.uniform(0.9, 1.1),
                    error_sq=error * 0.02 * (1 - share) ** 2 * random.uniform(0.8, 1.2),
                    params=rank,
                )
            )
    return LayerChoices(name, "k", tuple(choices))


def study(layers: list[LayerChoices] | None = None, **options: Any) -> StudyResult:
    limits = exact.SolverLimits(
        options.pop("max_error_sq", LIMIT), min_saving_s=options.pop("min_saving_s", None)
    )
    return run_study(layers or make_layers(), limits, **{"trials": 15, **options})


@settings(deadline=None, max_examples=8)
@given(st.integers(0, 1000), st.floats(1e-3, 0.1), st.sampled_from(["random", "tpe"]))
def test_it_is_allowed_and_no_worse_than_the_exact_solution(
    seed: int, limit: float, sampler: str
) -> None:
    layers = make_layers(3, seed)
    result = study(layers, max_error_sq=limit, sampler=sampler, seed=seed, trials=12)
    assert exact.SolverLimits(limit).allow(result.best)
    assert result.value == result.best.saving_s
    assert result.value >= result.exact.saving_s
    assert result.gap == 0.0
    assert result.exact == exact.solve(layers, exact.SolverLimits(limit))


@pytest.mark.parametrize("sampler", sampler_names())
def test_every_sampler_runs_and_proposes_measured_candidates(sampler: str) -> None:
    layers = make_layers(2)
    seen: list[Assignment] = []

    def measured(assignment: Assignment) -> float:
        seen.append(assignment)
        return assignment.saving_s

    study(layers, sampler=sampler, trials=13, measured=measured)
    for assignment in seen:
        for layer, choice in zip(layers, assignment.choices, strict=True):
            assert choice in layer.choices


def test_the_same_seed_gives_the_same_trials() -> None:
    runs: list[list[TrialEvent]] = []
    for seed in (1, 1, 2, 1 + 128):
        events: list[TrialEvent] = []
        study(seed=seed, on_trial=events.append)
        runs.append(events)
    assert runs[0] == runs[1]
    assert runs[0] != runs[2]
    assert runs[0] != runs[3]


def test_two_runs_add_up_in_the_file(tmp_path: Path) -> None:
    path = tmp_path / "rankwise.db.optuna.log"
    first = study(trials=20, storage=path)
    second = study(trials=40, storage=path)
    assert (first.trials, second.trials) == (20, 40)
    again = study(trials=40, storage=path)  # nothing is left to try: the same answer
    assert (again.trials, again.best, again.value) == (40, second.best, second.value)
    assert second.value >= first.value
    storage = optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend(str(path)))
    trials = optuna.load_study(study_name=None, storage=storage).trials
    assert all("error" in trial.constraints for trial in trials)  # samplers learn from them
    assert len(trials) == 40
    assert [trial.number for trial in trials] == list(range(40))
    # The second run's sampler goes on instead of proposing the first one's points again.
    assert [t.params for t in trials[4:10]] != [t.params for t in trials[24:30]]


def test_what_was_asked_otherwise_is_another_study_in_the_same_file(tmp_path: Path) -> None:
    path, layers = tmp_path / "study.log", make_layers()
    others: list[dict[str, Any]] = [
        {"layers": layers[1:]},
        {"max_error_sq": LIMIT / 2},
        {"modes": {"one": {layers[0].name}}},
        {"modes": {"one": {layers[1].name}}},
        {"measured": lambda assignment: assignment.saving_s},
    ]
    study(trials=3, storage=path)
    for other in others:
        assert study(trials=2, storage=path, **other).trials == 2
    assert study(trials=2, storage=path).trials == 3


def test_limits_on_other_amounts_are_another_study(tmp_path: Path) -> None:
    """Of several, any of them."""
    path, layers = tmp_path / "study.log", make_layers()

    def limited(*most: float) -> int:
        ceilings = tuple(
            exact.Ceiling(str(number), limit, lambda _name, choice: choice.params or 0.0)
            for number, limit in enumerate(most)
        )
        limits = exact.SolverLimits(LIMIT, ceilings=ceilings)
        return run_study(layers, limits, trials=2, storage=path).trials

    study(trials=3, storage=path)
    assert [limited(450), limited(460), limited(450, 450), limited(450, 460)] == [2, 2, 2, 2]
    assert study(trials=2, storage=path).trials == 3


def test_a_run_that_was_killed_while_writing_can_be_resumed(tmp_path: Path) -> None:
    path = tmp_path / "study.log"
    study(trials=5, storage=path)
    with path.open("ab") as file:
        file.write(b'{"op_code":4,"worker_id":"x","study')
    assert study(trials=10, storage=path).trials == 10
    assert study(trials=11, storage=path).trials == 11


def test_a_file_cut_in_its_first_line_starts_afresh(tmp_path: Path) -> None:
    path = tmp_path / "study.log"
    path.write_bytes(b'{"op_code":0,"wor')
    assert study(trials=2, storage=path).trials == 2
    assert study(trials=0, storage=path).trials == 2


@pytest.mark.parametrize(
    "content", [b"SQLite format 3\x00\xff\xfe\n", b"notes\n", b"notes", b"[1]\n", b"{}\n{}\n"]
)
def test_a_file_of_another_kind_is_refused_and_left_alone(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "study.log"
    path.write_bytes(content)
    with pytest.raises(StoreError, match="cannot be used"):
        study(storage=path)
    assert path.read_bytes() == content


def test_a_file_in_a_missing_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="cannot be used"):
        study(storage=tmp_path / "missing" / "study.log")


def test_measured_values_decide_and_nothing_is_measured_twice(tmp_path: Path) -> None:
    layers = make_layers(2)
    calls: list[str] = []

    def measured(assignment: Assignment) -> float:
        calls.append(assignment.key)
        return -assignment.saving_s  # the opposite of what the sums say

    result = study(layers, trials=30, sampler="random", measured=measured, storage=tmp_path / "s")
    assert len(calls) == len(set(calls))
    assert result.value == -result.best.saving_s
    assert result.best.saving_s < result.exact.saving_s
    assert result.gap > 0
    before = len(calls)
    study(layers, trials=31, sampler="random", measured=measured, storage=tmp_path / "s")
    assert result.exact.key in calls[:before]
    assert result.exact.key not in calls[before:]


def test_plans_that_break_a_limit_are_never_measured() -> None:
    limits = exact.SolverLimits(LIMIT)

    def measured(assignment: Assignment) -> float:
        assert limits.allow(assignment)
        return assignment.saving_s

    events: list[TrialEvent] = []
    study(trials=30, sampler="random", measured=measured, on_trial=events.append)
    assert {event.allowed for event in events} == {True, False}


def test_a_failed_measurement_is_a_failed_trial() -> None:
    fails = iter([True, False])

    def measured(assignment: Assignment) -> float:
        if next(fails, False):
            raise MeasurementError("The child died.", "crash")
        return assignment.saving_s

    events: list[TrialEvent] = []
    result = study(measured=measured, on_trial=events.append)
    assert events[0].value is None
    assert result.trials == 15


def test_where_nothing_can_be_measured_it_says_so() -> None:
    def measured(_: Assignment) -> float:
        raise MeasurementError("The child died.", "crash")

    with pytest.raises(MeasurementError, match=r"No plan could be measured: The child died\."):
        study(trials=3, measured=measured)


def test_an_interrupted_run_keeps_its_finished_trials(tmp_path: Path) -> None:
    def interrupt(event: TrialEvent) -> None:
        if event.number == 4:
            raise KeyboardInterrupt

    path = tmp_path / "study.log"
    with pytest.raises(KeyboardInterrupt):
        study(storage=path, on_trial=interrupt)
    assert study(storage=path, trials=0).trials == 5


def test_the_smallest_error_for_a_saving() -> None:
    layers = make_layers()
    target = 0.5 * exact.solve(layers, exact.SolverLimits()).saving_s
    result = study(layers, max_error_sq=None, min_saving_s=target)
    assert result.best.saving_s >= target
    assert result.value == -result.best.error_sq
    assert result.gap == 0.0


def test_limits_that_exclude_every_plan_are_said() -> None:
    with pytest.raises(GoalNotReached, match="No plan saves"):
        study(min_saving_s=1e9)


def test_layers_without_candidates_keep_their_originals() -> None:
    layers = [LayerChoices("a", "k", (Choice(),)), LayerChoices("b", "k", (Choice(),))]
    result = study(layers, trials=3)
    assert result.value == 0.0
    assert result.best.choices == (Choice(), Choice())


def test_an_unknown_sampler_lists_the_known_ones() -> None:
    with pytest.raises(UsageError, match=r"no sampler 'anneal': choose one of tpe, random"):
        study(sampler="anneal")


def test_a_sampler_without_its_package_says_which(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rankwise.search.samplers.find_spec", lambda _: None)
    with pytest.raises(UsageError, match="needs the package 'cmaes'"):
        make_sampler("cmaes", 0)


def test_without_seeds_the_sampler_is_alone(tmp_path: Path) -> None:
    path = tmp_path / "study.log"
    seeds: list[TrialEvent] = []
    best = study(trials=3, storage=path, on_trial=seeds.append).exact.saving_s
    assert seeds[0].value == best
    events: list[TrialEvent] = []
    alone = study(trials=40, storage=path, seeded=False, on_trial=events.append)
    assert len(events) == 40  # a study of its own
    assert events[0].value is not None
    assert events[0].value < best
    assert alone.value == events[-1].best_value
    assert alone.value <= alone.exact.saving_s


def test_negative_trials_are_refused() -> None:
    with pytest.raises(UsageError, match="zero or more"):
        study(trials=-1)


def test_optuna_stays_silent_and_keeps_its_settings(capfd: pytest.CaptureFixture[str]) -> None:
    optuna.logging.set_verbosity(logging.INFO)
    study(trials=12)
    assert optuna.logging.get_verbosity() == logging.INFO
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("sampler", ["tpe", "cmaes", "random"])
def test_a_trial_changes_only_the_layers_of_its_mode(sampler: str, tmp_path: Path) -> None:
    layers = make_layers(4)
    modes = {"first": {layers[0].name}, "all": {layer.name for layer in layers}}
    seen: list[Assignment] = []

    def look(assignment: Assignment) -> float:
        seen.append(assignment)
        return assignment.saving_s

    found = study(
        layers, modes=modes, measured=look, trials=40, sampler=sampler, storage=tmp_path / "s"
    )
    again = study(
        layers, modes=modes, measured=look, trials=40, sampler=sampler, storage=tmp_path / "s"
    )
    assert again.best == found.best
    changed = [
        {n for n, c in zip(a.names, a.choices, strict=True) if not c.decomposition.is_original}
        for a in seen
    ]
    assert any(one and one <= modes["first"] for one in changed)
    assert any(not one <= modes["first"] for one in changed)
