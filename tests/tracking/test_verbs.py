"""What verbs tell a tracker: numbers by step that their documents hold, too."""

from __future__ import annotations

from typing import Any


def test_verbs_tell_their_documents(told: Any) -> None:
    assert list(told.documents) == ["profile", "plan", "verify", "recover", "finetune"]
    assert all(document is not None for document in told.documents.values())


def test_a_profile_counts_over_sessions(told: Any) -> None:
    timed = told.steps("profile", "candidates_timed")
    assert [step for step, _ in timed] == list(range(1, len(timed) + 1))
    assert timed[-1][1] == told.documents["profile"].candidates
    assert told.steps("profile", "candidates_failed")[-1][1] == 0


def test_a_plan_tells_what_it_timed_and_measured(told: Any) -> None:
    speedups = told.steps("plan", "timed_speedup")
    assert [step for step, _ in speedups] == list(range(1, len(speedups) + 1))
    errors = [value for _, value in told.steps("plan", "network_error")]
    assert told.documents["plan"].predicted.network_error in errors


def test_training_tells_its_history(told: Any) -> None:
    for verb, name in (("recover", "select_error"), ("finetune", "validation_loss")):
        history = told.documents[verb].history
        assert told.steps(verb, name) == [(one.step, one.score) for one in history]
    losses = [(one.step, one.loss) for one in told.documents["recover"].history]
    assert told.steps("recover", "loss") == [one for one in losses if one[1] is not None]
