"""Several boards of one kind, one table: who measured, how far they differ, which one is odd."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from typer.testing import Result

from rankwise.backends.fake import FakeBackend

Command = Callable[..., Result]
SHORT = ("--kinds", "svd", "--json")
KIND = "fake:step=4,jitter=0.002"


@pytest.fixture(scope="module")
def chain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four layers that are all different."""
    import torch

    widths = (8, 16, 24, 32, 40)
    layers = [torch.nn.Linear(a, b) for a, b in pairwise(widths)]
    path = tmp_path_factory.mktemp("chain") / "chain.onnx"
    network = torch.nn.Sequential(*layers).eval()
    torch.onnx.export(network, (torch.zeros(1, 8),), path, external_data=False)
    return path


def table(rankwise: Command) -> dict[str, Any]:
    return dict(json.loads(rankwise("table", "--json").stdout))


def profile(rankwise: Command, *words: object) -> dict[str, Any]:
    result = rankwise("profile", *words, *SHORT)
    assert result.exit_code == 0, result.output
    return dict(json.loads(result.stdout))


def test_a_second_board_widens_intervals_and_is_shown(rankwise: Command, chain: Path) -> None:
    first = profile(rankwise, chain, "--backend", f"{KIND},board=one")
    alone = table(rankwise)
    assert {row["boards"] for row in alone["rows"]} == {1}
    assert alone["odd_boards"] == []

    elsewhere = f"{KIND},board=two,slow=1.2"
    counted = profile(rankwise, chain, "--backend", elsewhere)
    assert (counted["measured"], counted["already_measured"]) == (0, first["candidates"])
    own = profile(rankwise, chain, "--backend", elsewhere, "--this-board")
    assert own["measured"] == first["candidates"]

    both = table(rankwise)
    assert len(both["rows"]) == len(alone["rows"])
    assert {row["boards"] for row in both["rows"]} == {2}
    for before, after in zip(alone["rows"], both["rows"], strict=True):
        assert after["speedup"] == pytest.approx(before["speedup"], rel=0.01)
        width = after["speedup_high"] / after["speedup_low"]
        assert width > before["speedup_high"] / before["speedup_low"]
    assert {one["quantity"] for one in both["odd_boards"]} == {"latency"}
    ratios = sorted(one["ratio"] for one in both["odd_boards"])
    assert ratios == pytest.approx([1.2**-0.5, 1.2**0.5], rel=0.01)
    said = rankwise("table").stdout
    assert said.count("differs from its kind: its layers take 1.09") == 1
    again = profile(rankwise, chain, "--backend", elsewhere, "--this-board")
    assert again["measured"] == 0


def test_a_board_without_a_number_cannot_be_told_from_others(
    rankwise: Command, chain: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(FakeBackend, "board", lambda _: None)
    result = rankwise("profile", chain, "--backend", "fake", "--this-board")
    assert result.exit_code == 2
    assert "nothing tells this board of fake from others of its kind" in result.output
