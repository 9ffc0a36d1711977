"""`profile --rank-quantum auto` on the fake backend, whose steps are planted."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from typer.testing import Result

from rankwise import documents
from rankwise.campaign.sweep_progress import SweepProgress
from rankwise.pace import Pace
from rankwise.profiler.staircase import MAX_RANKS

Command = Callable[..., Result]


def profiled(rankwise: Command, *words: object, status: int = 0) -> documents.Profile:
    result = rankwise("profile", *words, "--rank-quantum", "auto", "--json")
    assert result.exit_code == status, result.output
    return documents.Profile.model_validate_json(result.stdout)


def test_steps_are_found_measured_and_not_measured_again(
    rankwise: Command, network_file: Path
) -> None:
    words = [network_file, "--backend", "fake:step=16,jitter=0.005"]
    first = profiled(rankwise, *words)
    assert first.complete
    searched = [found for found in first.staircases if found.measured >= 10]
    assert searched
    assert sum(found.quantum == 16 for found in searched) >= 0.75 * len(
        searched
    )  # the stem has few ranks
    rows = json.loads(rankwise("table", "--json").stdout)["rows"]
    counts = Counter((row["spec_key"], row["decomposition"]["kind"]) for row in rows)
    assert max(counts.values()) <= MAX_RANKS

    again = profiled(rankwise, *words)
    assert (again.measured, again.samples) == (0, 0)
    assert again.candidates == again.already_measured == first.candidates
    assert again.staircases == first.staircases

    drawn = rankwise("table", "--draw")
    assert drawn.exit_code == 0
    assert "channel_svd" in drawn.stdout
    assert "original" in drawn.stdout


def test_an_interrupted_search_goes_on(rankwise: Command, network_file: Path) -> None:
    words = [network_file, "--backend", "fake:step=16,jitter=0.005", "--kinds", "channel_svd"]
    cut = profiled(rankwise, *words, "--max-time", "0.5s", status=1)
    assert not cut.complete
    done = profiled(rankwise, *words)
    assert done.complete
    assert done.already_measured <= cut.measured + cut.candidates
    assert all(found.measured <= MAX_RANKS for found in done.staircases)


def test_nonsense_is_refused(rankwise: Command, network_file: Path) -> None:
    words = ["profile", network_file, "--backend", "fake", "--rank-quantum"]
    for text in ("often", "0", "-4"):
        result = rankwise(*words, text)
        assert result.exit_code == 2
        assert "--rank-quantum" in result.output


def test_progress_says_what_is_left() -> None:
    """In sessions: how long these take is said by whoever shows it."""
    now = [0.0]
    progress, pace = SweepProgress(), Pace(lambda: now[0])
    progress.plan(3)
    pace.at(*progress.line()[:2])
    assert progress.line()[:2] == (0, 3)
    progress.ended({}, {})
    done, total, text = progress.line()
    assert (done, total) == (1, 3)
    now[0] = 10.0
    assert pace.at(done, total).left_beside(text) == "20 s left"


def test_failures_show_in_status_and_summary(rankwise: Command, network_file: Path) -> None:
    words = ["profile", network_file, "--backend", "fake:crash_at=40", "--kinds", "svd"]
    result = rankwise(*words)
    assert result.exit_code == 3, result.output
    assert "candidates failed in this run" in result.stdout
    assert "SIGABRT" in result.stdout
    again = rankwise(*words)
    assert again.exit_code == 0
    assert "failed: " in again.stdout
