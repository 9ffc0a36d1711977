"""A small chart as SVG text: lines or points over two axes, with intervals.

Readable without colour (each series has a mark of its own) and in light and dark (colours come
from the page where there is one). Nothing is fetched, nothing is scripted.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from html import escape

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
    scale_x = _Scale.of([p.x for one in drawn for p in one.points], x.zero, LEFT, WIDTH - RIGHT)
    heights = [v for one in drawn for p in one.points for v in (p.y, p.low, p.high)]
    scale_y = _Scale.of([v for v in heights if v is not None], y.zero, HEIGHT - BOTTOM, TOP)
    body = [
        *_frame(scale_x, scale_y, x, y),
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


@dataclass(frozen=True, slots=True)
class _Scale:
    """From values to pixels, with round ticks."""

    low: float
    high: float
    start: float
    end: float
    step: float

    @classmethod
    def of(cls, values: Sequence[float], zero: bool, start: float, end: float) -> _Scale:
        low = min([*values, *([0.0] if zero else [])], default=0.0)
        high = max(values, default=1.0)
        if high <= low:
            low, high = low - 0.5 * (abs(low) or 1), high + 0.5 * (abs(high) or 1)
        step = _round_step((high - low) / 5)
        return cls(math.floor(low / step) * step, math.ceil(high / step) * step, start, end, step)

    def __call__(self, value: float) -> float:
        share = (value - self.low) / (self.high - self.low)
        return self.start + share * (self.end - self.start)

    @property
    def ticks(self) -> list[float]:
        count = round((self.high - self.low) / self.step)
        return [self.low + step * self.step for step in range(count + 1)]


def _round_step(least: float) -> float:
    """The smallest 1, 2 or 5 times a power of ten that is at least `least`."""
    power = 10.0 ** math.floor(math.log10(least))
    return next(power * m for m in (1, 2, 5, 10) if power * m >= least * (1 - 1e-9))


def _frame(scale_x: _Scale, scale_y: _Scale, x: Axis, y: Axis) -> list[str]:
    parts = []
    for tick in scale_x.ticks:
        at = scale_x(tick)
        parts.append(_rule(at, TOP, at, HEIGHT - BOTTOM))
        parts.append(_text(at, HEIGHT - BOTTOM + 18, x.show(_clean(tick)), "middle"))
    for tick in scale_y.ticks:
        at = scale_y(tick)
        parts.append(_rule(LEFT, at, WIDTH - RIGHT, at))
        parts.append(_text(LEFT - 8, at + 4, y.show(_clean(tick)), "end"))
    middle = (TOP + HEIGHT - BOTTOM) / 2
    parts.append(_text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 12, x.label, "middle"))
    turned = f'transform="rotate(-90 18 {middle:g})"'
    parts.append(_text(18, middle, y.label, "middle", more=turned))
    return parts


def _clean(value: float) -> float:
    """0.30000000000000004 is a tick at 0.3."""
    return float(f"{value:.10g}")


def _series(series: Series, number: int, scale_x: _Scale, scale_y: _Scale) -> list[str]:
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
