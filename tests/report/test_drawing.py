"""Latency over rank as text and as a picture."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree

import pytest

from rankwise.documents import Decomposition, Row, RowDevice, Table
from rankwise.errors import UsageError
from rankwise.report.drawing import draw_svg, draw_text


def row(latency_s: float, *ranks: int, layer: str = "conv<1>") -> Row:
    return Row(
        layer=layer,
        layers=[layer],
        op="conv2d",
        spec={},
        spec_key=layer,
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


TABLE = Table(rows=[row(8e-4, 80), row(5e-4, 64), row(6e-4, 65)], failures=[])


def test_bars_stand_in_the_order_of_ranks_and_follow_the_latency() -> None:
    lines = draw_text(TABLE).splitlines()
    assert [line.split()[0] for line in lines[1:]] == ["64", "65", "80", "-"]
    assert [line.count("#") for line in lines[1:4]] == [25, 30, 40]
    assert lines[4].count("=") == 50


def test_the_picture_is_xml_with_a_point_for_each_rank() -> None:
    rows = [*TABLE.rows, *(row(1e-4 * n, n, n, layer="b") for n in (1, 2, 3))]
    svg = draw_svg(Table(rows=rows, failures=[]))
    root = ElementTree.fromstring(svg)
    assert len(list(root.iter("{http://www.w3.org/2000/svg}circle"))) == 6
    xs = [float(c.get("cx", "")) for c in root.iter("{http://www.w3.org/2000/svg}circle")]
    assert xs[:3] == sorted(xs[:3])
    assert xs[1] - xs[0] < xs[2] - xs[1]  # 64, 65, 80: by rank


def test_nothing_to_draw_is_said() -> None:
    with pytest.raises(UsageError, match="nothing to draw"):
        draw_text(Table(rows=TABLE.rows[:2], failures=[]))
