"""A small chart as SVG text: lines or points over two axes, with intervals.

Readable without colour (each series has a mark of its own) and in light and dark (colours come
from the page where there is one). Nothing is fetched, nothing is scripted.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from html import escape

from .axes import Scale, ticks

WIDTH, HEIGHT = 720, 440
LEFT, RIGHT, TOP, BOTTOM = 72, 16, 60, 56
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
"""Okabe and Ito (2008): told apart by colour-blind readers, too."""
MARKS = ("circle", "square", "triangle", "diamond", "cross", "bar")


@dataclass(frozen=True, slots=True)
class Point:
    """`low` and `high` are an interval of y, `note` is shown when pointed at."""

    x: float
    y: float
    low: float | None = None
    high: float | None = None
    note: str = ""


@dataclass(frozen=True, slots=True)
class Series:
    name: str
    points: Sequence[Point]
    line: bool = True


@dataclass(frozen=True, slots=True)
class Axis:
    """`show` writes a tick's number."""

    label: str
    show: Callable[[float], str] = field(default=lambda value: f"{value:g}")
    zero: bool = False
    """Whether the axis starts at zero."""


def chart(title: str, series: Sequence[Series], x: Axis, y: Axis) -> str:
    """An SVG document. Series without points are left out; without any there is a sentence."""
    drawn = [one for one in series if one.points]
    across = _ticks([p.x for one in drawn for p in one.points], x)
    heights = [v for one in drawn for p in one.points for v in (p.y, p.low, p.high)]
    up = _ticks([v for v in heights if v is not None], y)
    scale_x = Scale(across[0], across[-1], LEFT, WIDTH - RIGHT)
    scale_y = Scale(up[0], up[-1], HEIGHT - BOTTOM, TOP)
    body = [
        *(part for tick in across for part in _across(scale_x(tick), x.show(tick))),
        *(part for tick in up for part in _up(scale_y(tick), y.show(tick))),
        *_titles(x.label, y.label),
        *(part for n, one in enumerate(drawn) for part in _series(one, n, scale_x, scale_y)),
        *_legend(drawn),
    ]
    if not drawn:
        body = [_text(WIDTH / 2, HEIGHT / 2, "there is nothing to draw", "middle")]
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        f'font-family="sans-serif" font-size="13">\n<title>{escape(title)}</title>\n'
        f"<style>text{{fill:#222}}.rule{{stroke:#bbb}}"
        f"@media (prefers-color-scheme:dark){{text{{fill:#ddd}}.rule{{stroke:#555}}}}</style>\n"
        f"{_text(LEFT, 22, title, 'start', 15)}\n" + "\n".join(body) + "\n</svg>\n"
    )


def _ticks(values: Sequence[float], axis: Axis) -> list[float]:
    start = [0.0] if axis.zero else []
    return ticks(min([*values, *start], default=0.0), max(values, default=1.0), 5)


def _across(at: float, number: str) -> tuple[str, str]:
    text = _text(at, HEIGHT - BOTTOM + 18, number, "middle")
    return _rule(at, TOP, at, HEIGHT - BOTTOM), text


def _up(at: float, number: str) -> tuple[str, str]:
    return _rule(LEFT, at, WIDTH - RIGHT, at), _text(LEFT - 8, at + 4, number, "end")


def _titles(x: str, y: str) -> tuple[str, str]:
    middle = (TOP + HEIGHT - BOTTOM) / 2
    turned = f'transform="rotate(-90 18 {middle:g})"'
    return (
        _text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 12, x, "middle"),
        _text(18, middle, y, "middle", more=turned),
    )


def _series(series: Series, number: int, scale_x: Scale, scale_y: Scale) -> list[str]:
    colour = COLOURS[number % len(COLOURS)]
    parts = []
    if series.line and len(series.points) > 1:
        path = " ".join(f"{scale_x(p.x):.1f},{scale_y(p.y):.1f}" for p in series.points)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
    for point in series.points:
        at_x, at_y = scale_x(point.x), scale_y(point.y)
        if point.low is not None and point.high is not None:
            low, high = scale_y(point.low), scale_y(point.high)
            parts.append(
                f'<line x1="{at_x:.1f}" x2="{at_x:.1f}" y1="{low:.1f}" y2="{high:.1f}" '
                f'stroke="{colour}"/>'
            )
        parts.append(_mark(MARKS[number % len(MARKS)], at_x, at_y, colour, point.note))
    return parts


def _mark(kind: str, x: float, y: float, colour: str, note: str = "") -> str:
    shapes = {
        "circle": "M-4,0 a4,4 0 1,0 8,0 a4,4 0 1,0 -8,0 z",
        "square": "M-4,-4 h8 v8 h-8 z",
        "triangle": "M0,-5 L5,4 L-5,4 z",
        "diamond": "M0,-5 L5,0 L0,5 L-5,0 z",
        "cross": "M-4,-4 L4,4 M-4,4 L4,-4",
        "bar": "M-6,-1 h12 v2 h-12 z",
    }
    said = f"<title>{escape(note)}</title>" if note else ""
    place = f'transform="translate({x:.1f} {y:.1f})"'
    paint = f'fill="{colour}" stroke="{colour}" stroke-width="1.5"'
    return f'<path d="{shapes[kind]}" {place} {paint}>{said}</path>'


def _legend(series: Sequence[Series]) -> list[str]:
    """In a row above the frame; a single series needs none."""
    if len(series) < 2:
        return []
    parts, left = [], float(LEFT + 5)
    for number, one in enumerate(series):
        parts.append(_mark(MARKS[number % len(MARKS)], left, 40, COLOURS[number % len(COLOURS)]))
        parts.append(_text(left + 10, 44, one.name, "start"))
        left += 34 + 7.2 * len(one.name)
    return parts


def _rule(x1: float, y1: float, x2: float, y2: float) -> str:
    return (
        f'<line class="rule" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" '
        'stroke-width="0.5"/>'
    )


def _text(x: float, y: float, text: str, anchor: str, size: int = 13, more: str = "") -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}" {more}>'
        f"{escape(text)}</text>"
    )
