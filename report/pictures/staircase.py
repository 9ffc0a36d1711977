"""Latency over rank, with its steps: stretches of ranks that cost the same."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from ...documents import Row
from ..cells import decomposition, duration, known, shape
from ..rank_groups import differences, kinds_of, original_of
from .figure import Picture, in_style, key, short
from .style import INK, ONE_COLUMN, SERIES, SMALL_PT, SOFT, TWO_COLUMNS

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SAME_STEP = 0.03
"""Ranks belong to one step while their latencies differ by less than this share."""
UNITS = (("s", 1.0), ("ms", 1e-3), ("us", 1e-6))


def steps(points: Sequence[tuple[int, float]]) -> list[tuple[int, int, float]]:
    """Return (first rank, last rank, latency) of each stretch of equal latency, by rising rank."""
    stretches: list[tuple[int, int, float]] = []
    members: list[tuple[int, float]] = []
    for rank, latency in [*sorted(points), (-1, float("inf"))]:
        mean = sum(t for _, t in members) / len(members) if members else 0.0
        if members and not abs(latency - mean) <= SAME_STEP * mean:
            stretches.append((members[0][0], members[-1][0], mean))
            members = []
        members.append((rank, latency))
    return stretches


@in_style()
def staircases(layers: Sequence[list[Row]], title: str) -> Picture:
    """Draw a panel for each layer, whose rows are of one device and policy: a step line for each
    kind, marks with intervals, and the original's latency. The best rank of a step is its right
    end, which is ringed; marks are hollow where the measurements do not say FASTER."""
    picture = _grid(title, len(layers))
    kinds = sorted({kind for rows in layers for kind in kinds_of(rows)})
    for panel, rows, apart in zip(picture.panels, layers, differences(list(layers)), strict=False):
        _draw(picture, panel, rows, kinds, alone=len(layers) == 1)
        name = panel.get_title(loc="left")
        panel.set_title(name + (f"\n{short(apart, 40)}" if apart else ""), fontsize=SMALL_PT)
    for panel in picture.panels[len(layers) :]:
        picture.leave_out(panel)
    picture.legend([*_keys(kinds)], columns=3 if len(layers) == 1 else 7)
    return picture


def _grid(title: str, count: int) -> Picture:
    if count == 1:
        return Picture(title, ONE_COLUMN, 2.7)
    columns = 2 if count in (2, 4) else 3
    rows = math.ceil(count / columns)
    return Picture(title, TWO_COLUMNS, 0.6 + 1.75 * rows, rows, columns)


def _keys(kinds: Sequence[str]) -> Iterator[object]:
    from matplotlib.lines import Line2D

    yield from (key(kind, number, line="-") for number, kind in enumerate(kinds))
    yield key("original", line="--")
    yield key("not faster", 0, hollow=True, colour=SOFT)
    yield Line2D(
        [], [], linestyle="none", marker="o", markersize=7, markerfacecolor="none",
        markeredgecolor=INK, markeredgewidth=0.7, label="right end of a step",
    )  # fmt: skip


def _draw(
    picture: Picture, panel: Axes, rows: list[Row], kinds: Sequence[str], *, alone: bool
) -> None:
    original = original_of(rows)
    longest = max(original, *(known(row.latency_s) for row in rows))
    unit, size = next(pair for pair in UNITS if longest >= pair[1] or pair[0] == "us")
    panel.axhline(original / size, color=INK, linestyle="--", linewidth=0.9)
    for kind, same in kinds_of(rows).items():
        _series(picture, panel, same, kinds.index(kind), size)
    count = f" (x{rows[0].count})" if rows[0].count > 1 else ""
    name = f"{short(rows[0].layer, 40 if alone else 24)} {shape(rows[0].spec, chr(0x2192))}{count}"
    panel.set_title(name)
    panel.set_ylim(0, 1.12 * longest / size)
    panel.set_xlim(left=0)
    panel.set_ylabel(f"latency ({unit})")
    panel.set_xlabel("rank (smaller of a pair)" if _pairs(rows) else "rank")


def _pairs(rows: Sequence[Row]) -> bool:
    return any(len(row.decomposition.ranks) > 1 for row in rows)


def _rank(row: Row) -> int:
    return min(row.decomposition.ranks, default=0)


def _series(picture: Picture, panel: Axes, rows: list[Row], series: int, size: float) -> None:
    """Draw one kind. Of pairs with the same smaller rank the line goes through the fastest."""
    fastest: dict[int, float] = {}
    for row in rows:
        latency = known(row.latency_s)
        fastest[_rank(row)] = min(latency, fastest.get(_rank(row), latency))
    flat = steps(list(fastest.items()))
    xs = [rank for first, last, _ in flat for rank in (first, last)]
    ys = [latency / size for *_, latency in flat for _ in range(2)]
    panel.plot(xs, ys, color=SERIES[series % len(SERIES)], linewidth=1.0, zorder=2)
    ends = [last for first, last, _ in flat if first < last]
    panel.plot(
        ends, [fastest[rank] / size for rank in ends], linestyle="none", marker="o", markersize=7,
        markerfacecolor="none", markeredgecolor=INK, markeredgewidth=0.7, zorder=5,
    )  # fmt: skip
    _points(picture, panel, rows, series, size)


def _points(picture: Picture, panel: Axes, rows: list[Row], series: int, size: float) -> None:
    known_ends = [row for row in rows if row.speedup_low and row.speedup_high]
    intervals = [
        tuple(known(row.original_latency_s) / known(end) / size for end in ends)
        for row in known_ends
        for ends in [(row.speedup_high, row.speedup_low)]
    ]
    picture.whiskers(panel, [_rank(row) for row in known_ends], intervals)  # type: ignore[arg-type]
    for hollow in (False, True):
        same = [row for row in rows if (row.verdict != "FASTER") is hollow]
        ranks, seconds = [_rank(row) for row in same], [known(row.latency_s) / size for row in same]
        notes = [_label(row) for row in same]
        picture.marks(panel, ranks, seconds, series, hollow=hollow, notes=notes)


def _label(row: Row) -> str:
    speedup = "" if row.speedup is None else f", speedup {row.speedup:.2f}"
    latency = duration(known(row.latency_s))
    return f"{decomposition(row.decomposition)}: {latency}{speedup}, {row.verdict}"
