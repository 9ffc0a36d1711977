"""Who listens to a verb hears of it, whatever happens to the others."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from rankwise import reporter
from rankwise.errors import GoalNotReached
from rankwise.reporter import Listeners, Silent, heard


@dataclass
class Lines:
    """An old reporter, with two methods."""

    said: list[str] = field(default_factory=list)

    def message(self, text: str) -> None:
        self.said.append(text)

    def progress(self, done: float, total: float, text: str) -> None:
        self.said.append(f"{done:g} of {total:g} {text}")


@dataclass
class Kept:
    """A tracker that keeps what it hears."""

    heard: list[tuple[Any, ...]] = field(default_factory=list)

    def began(self, verb: str, options: Mapping[str, Any]) -> None:
        self.heard.append(("began", verb, dict(options)))

    def metrics(self, values: Mapping[str, float], step: int) -> None:
        self.heard.append(("metrics", dict(values), step))

    def ended(self, verb: str, result: Any) -> None:
        self.heard.append(("ended", verb, result))


class Broken(Kept):
    def metrics(self, values: Mapping[str, float], step: int) -> None:
        raise ConnectionError(f"the server is away\nand {values} of step {step} are lost")


@dataclass
class Shown(Lines):
    closed: int = 0

    def close(self) -> None:
        self.closed += 1


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> Shown:
    """What is shown where nobody else shows progress."""
    display = Shown()
    monkeypatch.setattr(reporter, "display_here", lambda _verb: display)
    return display


def work(told: Listeners) -> str:
    told.message("hello")
    told.progress(1, 2, "half")
    told.metrics({"loss": 0.5}, 3)
    return "done"


ALL = [("began", "plan", {"seed": 1}), ("metrics", {"loss": 0.5}, 3), ("ended", "plan", "done")]


def test_a_tracker_hears_all_and_progress_is_shown_beside_it(shown: Shown) -> None:
    tracker = Kept()
    assert heard("plan", tracker, {"seed": 1}, work) == "done"
    assert tracker.heard == ALL
    assert shown.said == ["hello", "1 of 2 half"]
    assert shown.closed == 1


@pytest.mark.parametrize("given", [None, ()])
def test_progress_is_shown_where_nobody_listens(shown: Shown, given: Any) -> None:
    heard("plan", given, {}, work)
    assert (len(shown.said), shown.closed) == (2, 1)


def test_a_reporter_of_the_users_takes_its_place(shown: Shown) -> None:
    lines, tracker = Lines(), Kept()
    heard("plan", [lines, tracker], {"seed": 1}, work)
    assert lines.said == ["hello", "1 of 2 half"]
    assert tracker.heard == ALL
    heard("plan", Silent(), {}, work)
    assert (shown.said, shown.closed) == ([], 0)


def test_a_tracker_that_fails_is_left_out_and_named_once(shown: Shown) -> None:
    broken, tracker = Broken(), Kept()
    assert heard("plan", [broken, tracker], {"seed": 1}, work) == "done"
    assert tracker.heard == ALL
    assert [line for line in shown.said if "Broken" in line] == [
        "Broken failed and hears no more of this: the server is away"
    ]
    assert [what for what, *_ in broken.heard] == ["began"]


@pytest.mark.parametrize(
    ("error", "result"), [(GoalNotReached("no", "best"), "best"), (KeyboardInterrupt(), None)]
)
def test_what_fails_has_ended_too(shown: Shown, error: BaseException, result: Any) -> None:
    tracker = Kept()

    def fail(_told: Listeners) -> None:
        raise error

    with pytest.raises(type(error)):
        heard("plan", tracker, {}, fail)
    assert tracker.heard[-1] == ("ended", "plan", result)
    assert shown.closed == 1


def test_a_verb_within_a_verb_is_heard_and_shown_once(shown: Shown) -> None:
    tracker = Kept()

    def outer(told: Listeners) -> str:
        return heard("profile", told, {}, work)

    heard("tune", tracker, {}, outer)
    assert [(what, verb) for what, verb, _ in tracker.heard if what != "metrics"] == [
        ("began", "tune"),
        ("began", "profile"),
        ("ended", "profile"),
        ("ended", "tune"),
    ]
    assert (len(shown.said), shown.closed) == (2, 1)
