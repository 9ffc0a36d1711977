"""The speedup table in a terminal: what fits, what is shown, and what it amounts to."""

from __future__ import annotations

import io
import sys
from typing import Any

import pytest

from rankwise import documents
from rankwise.errors import UsageError
from rankwise.report.best_rows import best_rows, by_layer
from rankwise.report.fitting import Grid, fitted, shortened
from rankwise.report.shown import Rows
from rankwise.report.table_text import row_lines, speedup_table_text
from rankwise.report.table_view import TableView

LONG = "encoder.layers.encoder_layer_11.self_attention.projection"


def row(layer: str, rank: int, speedup: float, **more: Any) -> documents.Row:
    """A layer of 8 ms and 100 MACs, of which rank 100 keeps all."""
    verdict = "FASTER" if speedup > 1.01 else "SLOWER"
    values: dict[str, Any] = {
        "layer": layer,
        "layers": [layer],
        "op": "linear",
        "spec": {"op": "linear", "in_channels": 8, "out_channels": 8},
        "spec_key": layer,
        "count": 1,
        "decomposition": documents.Decomposition(kind="svd", ranks=(rank,)),
        "device": documents.RowDevice(backend="fake", hardware_key="abcdef12", software_key="s"),
        "policy": {"threads": 1, "phase": "inference"},
        "latency_s": 0.008 / speedup,
        "original_latency_s": 0.008,
        "saving_s": 0.008 - 0.008 / speedup,
        "speedup": speedup,
        "speedup_low": speedup * 0.99,
        "speedup_high": speedup * 1.01,
        "verdict": verdict,
        "macs": rank,
        "original_macs": 100,
        "params": rank,
        "measured_at": "2026-01-01T00:00:00.000Z",
        "stale": False,
        "measurement_id": f"{layer}{rank}",
    }
    return documents.Row(**{**values, **more})


ROWS = [
    row("fc1", 80, 1.2),
    row("fc1", 60, 1.1),
    row("fc1", 30, 2.0),
    row("fc2", 50, 0.5),
    row(LONG, 10, 4.0, count=3),
]


def table(rows: list[documents.Row] = ROWS, **more: Any) -> documents.Table:
    return documents.Table(rows=rows, failures=[], networks=["net.onnx"], **more)


def text(width: int | None = None, rows: list[documents.Row] = ROWS, **view: Any) -> str:
    return speedup_table_text(table(rows), TableView(**view), width)


@pytest.mark.parametrize("best", [False, True])
@pytest.mark.parametrize("width", [60, 100, 160])
def test_rows_fit(width: int, best: bool) -> None:
    lines = text(width, best=best).splitlines()
    count = 4 if best else 6
    assert max(map(len, lines[:count])) <= width
    assert ("…" in lines[count - 1]) == (width < 160)
    assert "device: fake abcdef" in lines  # the same everywhere: said once


def test_two_devices_are_a_column() -> None:
    other = documents.RowDevice(backend="fake", hardware_key="0123456789", software_key="s")
    shown = text(rows=[*ROWS, row("fc1", 80, 3.0, device=other)])
    assert "device: " not in shown
    assert "fake 012345" in shown
    assert shown.count("time of the layers on fake") == 2


def test_the_best_at_each_budget() -> None:
    lines = text(best=True).splitlines()
    assert lines[1].split() == (
        ["fc1", "1", "8->8", "20.0%"]
        + ["svd", "80", "1.20x", "-20%"] * 2
        + ["svd", "30", "2.00x", "-70%"] * 2
    )
    assert lines[2].split()[-4:] == ["-"] * 4
    assert [one.decomposition.ranks for one in best_rows(ROWS)] == [(80,), (30,), (10,)]


def test_what_it_amounts_to() -> None:
    """fc1 saves 4 of 8 ms, the three long ones 6 of 8 each: 22 of 40 ms."""
    last = text().splitlines()[-2:]
    assert "time of the layers: 40 ms, most of it in" in last[0]
    assert f"{LONG} (x3) 60%, fc1 20%, fc2 20%" in last[0]
    assert "would save 22 ms (55%, 2.22x)" in last[1]
    assert f"most in {LONG} (x3): svd 10 saves 45%" in last[1]
    assert "no candidate is faster" in text(rows=[ROWS[3]])
    assert by_layer([ROWS[0].model_copy(update={"stale": True})]) == []


def test_nothing_saves_more_than_there_is() -> None:
    """A session in which the machine was slow saw 16 ms saved of a layer that takes 8."""
    slow = {"original_latency_s": 0.020, "latency_s": 0.004, "saving_s": 0.016}
    rows = [row("fc1", 20, 8.0), row("fc1", 30, 4.0), row("fc1", 40, 5.0, **slow)]
    assert "would save 7 ms (88%, 8.00x)" in text(rows=rows).splitlines()[-1]
    assert [one.decomposition.ranks for one in best_rows(rows)] == [(20,), (40,)]


def test_several_networks_are_not_added_up() -> None:
    both = table().model_copy(update={"networks": ["a.onnx", "b.onnx"]})
    assert "give --model: a.onnx, b.onnx" in speedup_table_text(both)


def test_filters_sort_and_columns() -> None:
    lines = text(sort="speedup", verdicts=("FASTER",), top=2, columns=("speedup", "verdict"))
    assert lines.splitlines()[:3] == ["speedup  verdict", "   4.00  FASTER", "   2.00  FASTER"]
    assert "2 of 5 rows: 4 FASTER, 1 SLOWER" in lines
    assert text(best=True, sort="speedup", top=1).splitlines()[1].startswith(LONG)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((False, "spedup", [], None, None), "did you mean 'speedup'"),
        ((False, None, ["fast"], None, None), "did you mean 'FASTER'"),
        ((False, None, [], 0, None), "--top must be at least 1"),
        ((False, None, [], None, "layer,verdit"), "did you mean 'verdict'"),
    ],
)
def test_unknown_words(words: tuple[Any, ...], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        TableView.of(*words)


def test_words_of_any_case() -> None:
    view = TableView.of(True, "mmacs", ["faster,same"], 3, "Layer, PARAMS")
    assert view == TableView(True, "MMACs", ("FASTER", "SAME"), 3, ("layer", "params"))


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_colours_are_for_terminals_and_never_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", Terminal())
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    coloured = text()
    assert "\x1b[32m" in coloured
    assert "FASTER" in coloured
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b" not in text()
    monkeypatch.delenv("NO_COLOR")
    monkeypatch.setenv("TERM", "dumb")
    assert "\x1b" not in text()


def test_names_keep_their_ends() -> None:
    assert shortened("layer1.0.conv1", 14) == "layer1.0.conv1"
    assert shortened(LONG, 20) == "encode…on.projection"
    assert len(shortened(LONG, 20)) == 20
    grid = Grid(("layer", "x"), [[LONG, "1"]])
    assert fitted(grid, 200) == grid


@pytest.mark.parametrize("width", [None, 60, 100])
def test_long_texts_are_folded_between_words(width: int | None) -> None:
    """In their own column; every word is there, and no line is longer than the terminal."""
    kinds = " ".join(f"kind_number_{n}" for n in range(8))
    rows = Rows(("layer", "x", "kinds"), [[LONG, "1", kinds], ["fc", "12", "svd"]], right=("x",))
    head, *lines = row_lines(rows, styled=False, width=width)
    starts = {line.index("kind_number") for line in lines if "kind_number" in line}
    assert starts == {head.index("kinds")}
    assert kinds.split() == [word for line in lines for word in line.split() if "kind_" in word]
    if width is None:
        assert len(lines) == 2
    else:
        assert max(map(len, lines)) <= width
        assert lines[-1].split() == ["fc", "12", "svd"]
