"""A picture of latency over rank, with its steps: stretches of ranks that cost the same."""

from __future__ import annotations

from collections.abc import Sequence

from .. import documents
from .axes import Axes, axes, drawing, marker
from .cells import decomposition, duration, known, timed
from .heat_map import shape_and_count
from .markup import Html, joined, tag

SAME_STEP = 0.03
"""Ranks belong to one step while their latencies differ by less than this share."""


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


def staircase(rows: Sequence[documents.Row]) -> Html:
    """Draw one layer on one device under one policy: a step line for each kind, with intervals,
    and the original's latency. The best rank of a step is its right end, which is ringed."""
    rows = timed(rows)
    if not rows:
        return tag("p", "Nothing was measured of this layer.", class_="empty")
    first = rows[0]
    series = {
        kind: sorted((r for r in rows if r.decomposition.kind == kind), key=_rank)
        for kind in sorted({row.decomposition.kind for row in rows})
    }
    original = known(first.original_latency_s)
    highest = 1.2 * max(original, *(known(row.latency_s) for row in rows))
    ends = [min(highest, known(row.original_latency_s) / known(row.speedup_low)) for row in rows]
    drawn = axes(
        [0, *(_rank(row) for row in rows)],
        [0.0, original, *(known(row.latency_s) for row in rows), *ends],
        "rank (the smaller one of a pair)",
        "latency",
        lambda v: f"{v:g}",
        lambda v: duration(v) if v else "0",
    )
    lines = [_series(drawn, number, group) for number, group in enumerate(series.values())]
    y = drawn.y(original)
    label = f"original {duration(original)}"
    reference = joined(
        [
            tag("line", x1=drawn.x.start, x2=drawn.x.end, y1=y, y2=y, class_="original"),
            tag("text", label, x=drawn.x.start + 6, y=y - 6, class_="tick"),
        ]
    )
    title = f"Latency over rank: {first.layer}, {shape_and_count(first)}, on {first.device.backend}"
    return tag(
        "figure",
        tag("figcaption", title),
        drawing(title, drawn.drawn, reference, *lines),
        _legend(list(series)),
    )


def _rank(row: documents.Row) -> int:
    return min(row.decomposition.ranks, default=0)


def _series(drawn: Axes, number: int, rows: Sequence[documents.Row]) -> Html:
    x, y = drawn.x, drawn.y
    parts: list[Html] = []
    flat = steps([(_rank(row), known(row.latency_s)) for row in rows])
    path, ends = "", {last for begin, last, _ in flat if begin < last}
    for begin, end, latency in flat:
        path += f"{'L' if path else 'M'}{x(begin)} {y(latency)}L{x(end)} {y(latency)}"
    parts.append(tag("path", d=path, class_=f"step series{number % 4}"))
    for row in rows:
        low, high = (
            min(y.high, known(row.original_latency_s) / known(s))
            for s in (row.speedup_high, row.speedup_low)
        )
        place = x(_rank(row))
        parts.append(tag("line", x1=place, x2=place, y1=y(low), y2=y(high), class_="whisker"))
        if _rank(row) in ends:
            parts.append(tag("circle", cx=place, cy=y(known(row.latency_s)), r=8, class_="ring"))
        parts.append(
            tag("g", tag("title", _label(row)), marker(number, place, y(known(row.latency_s))))
        )
    return joined(parts)


def _label(row: documents.Row) -> str:
    return (
        f"{decomposition(row.decomposition)}: {duration(known(row.latency_s))}, speedup "
        f"{row.speedup:.2f}, {row.verdict}"
    )


def _legend(kinds: Sequence[str]) -> Html:
    """Draw the legend of markers and kinds."""
    entries = [
        tag("li", tag("svg", marker(number, 8, 8), viewbox="0 0 16 16", class_="key"), " ", kind)
        for number, kind in enumerate(kinds)
    ]
    ring = tag(
        "svg", tag("circle", cx=8, cy=8, r=6, class_="ring"), viewbox="0 0 16 16", class_="key"
    )
    return tag("ul", *entries, tag("li", ring, " right end of a step"), class_="legend")
