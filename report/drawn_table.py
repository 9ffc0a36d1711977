"""The speedup table as a picture: latency over rank, or what each layer saves at best."""

from __future__ import annotations

from pathlib import Path
from typing import TextIO

from ..documents import Row, Table
from ..errors import UsageError
from .bars_text import bars_text
from .heat_map import by_setting
from .pictures.figure import Picture, check_picture
from .pictures.layer_bars import KEPT_MACS, savings_picture
from .pictures.staircase import staircases
from .rank_groups import by_layer


def draw_table(table: Table, output: Path | None, stream: TextIO, *, savings: bool = False) -> None:
    """Draw latency over rank, or with `savings` what the fastest candidate of each layer saves.

    `output` is a .png, .svg or .pdf; latency over rank is bars of text in a .txt, or on `stream`
    where there is no `output`. Raises `UsageError` for another file, and if there is nothing to
    draw.
    """
    if output is None or output.suffix in ("", ".txt"):
        if savings:
            raise UsageError("savings are drawn into a file: -o FILE.png, .svg or .pdf")
        _write_text(bars_text(table), output, stream)
        return
    check_picture(output)
    picture = _savings(table) if savings else _latencies(table)
    picture.write(output)


def _write_text(text: str, output: Path | None, stream: TextIO) -> None:
    if output is None:
        stream.write(text)
    else:
        output.write_text(text, encoding="utf-8")


def _latencies(table: Table) -> Picture:
    layers = by_layer(table)
    where = ", ".join(dict.fromkeys(_device(rows[0]) for rows in layers))
    return staircases(layers, f"Latency over rank on {where}")


def _savings(table: Table) -> Picture:
    found = by_setting(table)
    if not found:
        raise UsageError("there is nothing to draw: no layer was measured; profile first")
    if len(found) > 1:
        raise UsageError(
            f"savings are drawn of one device under one policy, and here are {len(found)}: "
            "choose with --model, --device and --phase"
        )
    title = f"Fastest that keep {KEPT_MACS:.0%} of the MACs, on {_device(found[0][0])}"
    return savings_picture(found[0], title)


def _device(row: Row) -> str:
    return row.device.backend
