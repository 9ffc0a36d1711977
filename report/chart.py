"""A small chart as SVG text: lines or points over two axes, with intervals.

Readable without colour (each series has a mark of its own) and in light and dark (colours come
from the page where there is one). Nothing is fetched, nothing is scripted.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from .axes import Scale, ticks, with_intervals
from .markup import Html, tag

WIDTH, HEIGHT = 720, 440
LEFT, RIGHT, TOP, BOTTOM = 72, 16, 60, 56
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
"""Okabe and Ito (2008): told apart by colour-blind readers, too."""
MARKS = (
    "M-4,0 a4,4 0 1,0 8,0 a4,4 0 1,0 -8,0 z",
    "M-4,-4 h8 v8 h-8 z",
    "M0,-5 L5,4 L-5,4 z",
    "M0,-5 L5,0 L0,5 L-5,0 z",
    "M-4,-4 L4,4 M-4,4 L4,-4",
    "M-6,-1 h12 v2 h-12 z",
)
"""Circle, square, triangle, diamond, cross and bar."""
STYLE = (
    "text{fill:#222}.rule{stroke:#bbb}"
    "@media (prefers-color-scheme:dark){text{fill:#ddd}.rule{stroke:#555}}"
)


@dataclass(frozen=True, slots=True)
class Point:
    """A point; `low` and `high` are an interval of y, `note` is shown when pointed at."""

    x: float
    y: float
    low: float | None = None
    high: float | None = None
    note: str = ""


@dataclass(frozen=True, slots=True)
class Series:
    """Points of one kind, joined by a line or not."""

    name: str
    points: Sequence[Point]
    line: bool = True


@dataclass(frozen=True, slots=True)
class Axis:
    """An axis; `show` writes a tick's number."""

    label: str
    show: Callable[[float], str] = field(default=lambda value: f"{value:g}")
    zero: bool = False
    """Whether the axis starts at zero."""


def chart(title: str, series: Sequence[Series], x: Axis, y: Axis) -> str:
    """Return an SVG document. Series without points are left out; without any it says so."""
    drawn = [one for one in series if one.points]
    across = _ticks([p.x for one in drawn for p in one.points], x)
    up = _ticks(_heights([p for one in drawn for p in one.points]), y)
    scale_x = Scale(across[0], across[-1], LEFT, WIDTH - RIGHT)
    scale_y = Scale(up[0], up[-1], HEIGHT - BOTTOM, TOP)
    foot, middle = HEIGHT - BOTTOM, (TOP + HEIGHT - BOTTOM) / 2
    body = [
        *(_rule(scale_x(v), TOP, scale_x(v), foot) for v in across),
        *(_text(scale_x(v), foot + 18, x.show(v), "middle") for v in across),
        *(_rule(LEFT, scale_y(v), WIDTH - RIGHT, scale_y(v)) for v in up),
        *(_text(LEFT - 8, scale_y(v) + 4, y.show(v), "end") for v in up),
        _text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 12, x.label, "middle"),
        _text(18, middle, y.label, "middle", transform=f"rotate(-90 18 {middle:g})"),
        *(part for n, one in enumerate(drawn) for part in _series(one, n, scale_x, scale_y)),
        *_legend(drawn),
    ]
    if not drawn:
        body = [_text(WIDTH / 2, HEIGHT / 2, "there is nothing to draw", "middle")]
    return tag(
        "svg",
        tag("title", title),
        tag("style", STYLE),
        _text(LEFT, 22, title, "start", font_size=15),
        *body,
        xmlns="http://www.w3.org/2000/svg",
        viewbox=f"0 0 {WIDTH} {HEIGHT}",
        role="img",
        font_family="sans-serif",
        font_size=13,
    )


def _heights(points: Sequence[Point]) -> Sequence[float]:
    """Return what the axis upwards has to cover."""
    if not points:
        return []
    intervals = [(p.low, p.high) for p in points if p.low is not None and p.high is not None]
    return with_intervals([p.y for p in points], intervals)


def _ticks(values: Sequence[float], axis: Axis) -> list[float]:
    start = [0.0] if axis.zero else []
    return ticks(min([*values, *start], default=0.0), max(values, default=1.0), 5)


def _series(series: Series, number: int, scale_x: Scale, scale_y: Scale) -> list[Html]:
    colour = COLOURS[number % len(COLOURS)]
    parts = []
    if series.line and len(series.points) > 1:
        path = " ".join(f"{scale_x(p.x):.1f},{scale_y(p.y):.1f}" for p in series.points)
        parts.append(tag("polyline", points=path, fill="none", stroke=colour, stroke_width=2))
    for point in series.points:
        x, y = scale_x(point.x), scale_y(point.y)
        if point.low is not None and point.high is not None:
            low, high = scale_y.inside(point.low), scale_y.inside(point.high)
            parts.append(tag("line", x1=x, x2=x, y1=low, y2=high, stroke=colour))
        parts.append(_mark(number, x, y, point.note))
    return parts


def _mark(number: int, x: float, y: float, note: str = "") -> Html:
    colour = COLOURS[number % len(COLOURS)]
    return tag(
        "path",
        tag("title", note) if note else "",
        d=MARKS[number % len(MARKS)],
        transform=f"translate({x:.1f} {y:.1f})",
        fill=colour,
        stroke=colour,
        stroke_width=1.5,
    )


def _legend(series: Sequence[Series]) -> list[Html]:
    """Draw the names in a row above the frame; a single series needs none."""
    if len(series) < 2:
        return []
    parts, left = [], float(LEFT + 5)
    for number, one in enumerate(series):
        parts += [_mark(number, left, 40), _text(left + 10, 44, one.name, "start")]
        left += 34 + 7.2 * len(one.name)
    return parts


def _rule(x1: float, y1: float, x2: float, y2: float) -> Html:
    return tag("line", class_="rule", x1=x1, y1=y1, x2=x2, y2=y2, stroke_width=0.5)


def _text(x: float, y: float, text: str, anchor: str, **more: object) -> Html:
    return tag("text", text, x=x, y=y, text_anchor=anchor, **more)
