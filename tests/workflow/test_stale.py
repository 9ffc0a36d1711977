"""Rows of other software are shown as stale and measured again on demand; others never mix."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import Result

from rankwise.backends import fake

Command = Callable[..., Result]
SHORT = ("--kinds", "svd", "--backend")


def profile(rankwise: Command, *words: object) -> tuple[dict[str, object], str]:
    result = rankwise("profile", *words, "--json")
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout), result.stderr


def table(rankwise: Command) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = json.loads(rankwise("table", "--json").stdout)["rows"]
    return rows


@pytest.fixture
def upgrade(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Another version of the fake device's software, in the measuring child as well: what the
    child says of itself is not asked for."""
    return lambda version: monkeypatch.setattr(fake, "VERSION", version)


def test_the_life_of_rows_over_an_upgrade(
    rankwise: Command, network_file: Path, upgrade: Callable[[str], None]
) -> None:
    words = (network_file, *SHORT, "fake")
    first, _ = profile(rankwise, *words)
    count = first["candidates"]
    assert first["measured"] == count
    assert first["stale"] == 0
    assert not any(row["stale"] for row in table(rankwise))

    upgrade("2")
    left, said = profile(rankwise, *words)
    assert (left["measured"], left["stale"], left["complete"]) == (0, count, True)
    assert f"{count} candidates" in said
    assert "profile --refresh" in said

    again, _ = profile(rankwise, *words, "--refresh")
    assert (again["measured"], again["stale"]) == (count, 0)
    rows = table(rankwise)
    assert len(rows) == 2 * count  # type: ignore[operator]
    softwares = {row["device"]["software_key"]: row["stale"] for row in rows}  # type: ignore[index]
    assert sorted(softwares.values()) == [False, True]
    assert "(stale)" in rankwise("table").stdout

    once_more, _ = profile(rankwise, *words, "--refresh")
    assert once_more["measured"] == 0, "what is fresh is left alone"


def test_only_stale_rows_are_measured_again(
    rankwise: Command, network_file: Path, upgrade: Callable[[str], None]
) -> None:
    first, _ = profile(rankwise, network_file, *SHORT, "fake")
    upgrade("2")
    wider, _ = profile(rankwise, network_file, "--kinds", "svd,channel_svd", "--backend", "fake")
    assert wider["stale"] == first["candidates"]
    assert wider["measured"] == wider["candidates"] - first["candidates"]  # type: ignore[operator]
    rest, _ = profile(
        rankwise, network_file, "--kinds", "svd,channel_svd", "--backend", "fake", "--refresh"
    )
    assert rest["measured"] == first["candidates"]


def test_other_hardware_is_another_device(rankwise: Command, network_file: Path) -> None:
    first, _ = profile(rankwise, network_file, *SHORT, "fake:step=16")
    other, said = profile(rankwise, network_file, *SHORT, "fake:step=16,gmacs=10")
    assert other["measured"] == first["candidates"]
    assert other["stale"] == 0
    assert "other software" not in said
    rows = table(rankwise)
    assert len({row["device"]["hardware_key"] for row in rows}) == 2  # type: ignore[index]
    assert not any(row["stale"] for row in rows)


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--backend", "fake:gmacs=10"], "rows of other hardware: run `rankwise profile"),
        (["--backend", "fake", "--threads", "2"], "rows with threads 1, batch 1, float32: run"),
    ],
)
def test_a_plan_without_rows_says_which_there_are(
    rankwise: Command, network_file: Path, words: list[str], sentence: str
) -> None:
    profile(rankwise, network_file, *SHORT, "fake")
    result = rankwise("plan", network_file, *words, "--max-error", 0.1, "-o", "plan.json")
    assert result.exit_code == 2
    assert sentence in " ".join(result.output.split())


def test_a_plan_from_stale_rows_asks_for_a_refresh(
    rankwise: Command, network_file: Path, upgrade: Callable[[str], None]
) -> None:
    profile(rankwise, network_file, *SHORT, "fake")
    upgrade("2")
    words = ("--backend", "fake", "--max-error", 0.1, "-o", "plan.json")
    result = rankwise("plan", network_file, *words)
    assert result.exit_code == 2
    said = " ".join(result.output.split())
    assert "are of other software" in said
    assert "--refresh`" in said
