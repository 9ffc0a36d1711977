"""The table as a picture: by the file's suffix, and what cannot be drawn is said."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest

from rankwise import documents
from rankwise.errors import UsageError
from rankwise.report.drawn_table import draw_table


def row(rank: int, **more: Any) -> documents.Row:
    fields = {
        **{"layer": "body", "layers": ["body"], "op": "conv2d", "spec_key": "k", "count": 1},
        "spec": {"op": "conv2d", "kernel_size": [3, 3], "in_channels": 64, "out_channels": 64},
        "decomposition": {"kind": "svd", "ranks": [rank], "groups": 1},
        "device": {"backend": "fake", "hardware_key": "a", "software_key": "b"},
        "policy": {"phase": "inference", "batch": 1, "threads": 1, "context": "isolated"},
        **{"latency_s": rank * 1e-5, "original_latency_s": 1e-3, "saving_s": 5e-4},
        **{"speedup": 2.0, "speedup_low": 1.9, "speedup_high": 2.1, "verdict": "FASTER"},
        **{"macs": rank, "original_macs": 100, "params": 1, "measured_at": ""},
        **{"stale": False, "measurement_id": "m"},
    }
    return documents.Row.model_validate({**fields, **more})


ROWS = [row(16), row(32), row(64)]


@pytest.mark.parametrize("savings", [False, True])
@pytest.mark.parametrize(("name", "start"), [("a.svg", b"<?xml"), ("a.PNG", b"\x89PNG")])
def test_the_suffix_says_the_format(
    tmp_path: Path, name: str, start: bytes, *, savings: bool
) -> None:
    table = documents.Table(rows=ROWS, failures=[])
    draw_table(table, tmp_path / name, io.StringIO(), savings=savings)
    assert (tmp_path / name).read_bytes().startswith(start)


def test_without_a_picture_it_is_text(tmp_path: Path) -> None:
    table, stream = documents.Table(rows=ROWS, failures=[]), io.StringIO()
    draw_table(table, None, stream)
    draw_table(table, tmp_path / "a.txt", io.StringIO())
    assert stream.getvalue() == (tmp_path / "a.txt").read_text()
    assert stream.getvalue().startswith("body svd on fake\n")


@pytest.mark.parametrize(
    ("rows", "name", "savings", "words"),
    [
        (ROWS, "a.bmp", False, "not a.bmp"),
        (ROWS, "a.txt", True, "drawn into a file"),
        (ROWS[:2], "a.svg", False, "nothing to draw"),
        ([], "a.svg", True, "nothing to draw"),
        ([*ROWS, row(16, policy={**ROWS[0].policy, "threads": 4})], "a.svg", True, "here are 2"),
    ],
)
def test_what_cannot_be_drawn_is_said(
    tmp_path: Path, rows: list[documents.Row], name: str, savings: bool, words: str
) -> None:
    table = documents.Table(rows=rows, failures=[])
    with pytest.raises(UsageError, match=words):
        draw_table(table, tmp_path / name, io.StringIO(), savings=savings)
    assert not (tmp_path / name).exists()
