"""Latency over rank as bars of text."""

from __future__ import annotations

import pytest

from rankwise.documents import Decomposition, Row, RowDevice, Table
from rankwise.errors import UsageError
from rankwise.report.bars_text import bars_text


def row(latency_s: float, *ranks: int) -> Row:
    return Row(
        layer="conv<1>",
        layers=["conv<1>"],
        op="conv2d",
        spec={},
        spec_key="k",
        count=1,
        decomposition=Decomposition(kind="svd", ranks=ranks),
        device=RowDevice(backend="fake", hardware_key="h", software_key="s"),
        policy={},
        latency_s=latency_s,
        original_latency_s=1e-3,
        saving_s=1e-3 - latency_s,
        speedup=1e-3 / latency_s,
        speedup_low=0.9,
        speedup_high=1.1,
        verdict="FASTER",
        macs=sum(ranks),
        original_macs=100,
        params=1,
        measured_at="",
        stale=False,
        measurement_id=str(ranks),
    )


ROWS = [row(8e-4, 80), row(5e-4, 64), row(6e-4, 65)]


def test_bars_stand_in_the_order_of_ranks_and_follow_the_latency() -> None:
    lines = bars_text(Table(rows=ROWS, failures=[])).splitlines()
    assert [line.split()[0] for line in lines[1:]] == ["64", "65", "80", "-"]
    assert [line.count("#") for line in lines[1:4]] == [25, 30, 40]
    assert lines[4].count("=") == 50


def test_nothing_to_draw_is_said() -> None:
    with pytest.raises(UsageError, match="nothing to draw"):
        bars_text(Table(rows=ROWS[:2], failures=[]))
