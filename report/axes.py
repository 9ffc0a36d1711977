"""Axes of a drawing: round ticks, and the places of values."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from .markup import Html, joined, tag

WIDTH, HEIGHT = 640, 320
LEFT, RIGHT, TOP, BOTTOM = 70, 20, 34, 46

CLOSE, TINY = 1e-6, 1e-100
"""Values that differ by less, as a share of the larger or altogether, are drawn as one."""


def ticks(low: float, high: float, most: int = 6) -> list[float]:
    """Return round numbers that cover low..high: steps of 1, 2 or 5 times a power of ten."""
    if not high - low > max(CLOSE * max(abs(low), abs(high)), TINY):
        low, high = low - max(abs(low), 1.0) * 0.05, high + max(abs(high), 1.0) * 0.05
    rough = (high - low) / most
    power = 10 ** math.floor(math.log10(rough))
    step = next(power * m for m in (1, 2, 5, 10) if power * m >= rough * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [float(f"{number * step:.10g}") for number in range(first, last + 1)]


def with_intervals(
    values: Sequence[float], intervals: Iterable[tuple[float, float]]
) -> tuple[float, float]:
    """Return the least and the largest number that an axis covers: all values, and as much of their
    intervals as is no further from them than they are from each other. One interval that says
    next to nothing would otherwise leave no room for what is known."""
    low, high = min(values), max(values)
    reach = max(high - low, 0.1 * max(abs(low), abs(high)))
    ends = [end for interval in intervals for end in interval]
    return max(low - reach, min([low, *ends])), min(high + reach, max([high, *ends]))


@dataclass(frozen=True, slots=True)
class Scale:
    """Maps low..high to start..end in the drawing."""

    low: float
    high: float
    start: float
    end: float

    def inside(self, value: float) -> float:
        """As `self(value)`, for a value outside that of the nearer end."""
        return self(min(max(value, self.low), self.high))

    def __call__(self, value: float) -> float:
        share = (value - self.low) / (self.high - self.low)
        return round(self.start + share * (self.end - self.start), 2)


@dataclass(frozen=True, slots=True)
class Axes:
    """The scales of a drawing, and its drawn axes."""

    x: Scale
    y: Scale
    drawn: Html


def axes(
    xs: Sequence[float],
    ys: Sequence[float],
    x_title: str,
    y_title: str,
    x_text: Callable[[float], str],
    y_text: Callable[[float], str],
) -> Axes:
    """Draw axes that hold all values, with grid lines and titles."""
    across, up = ticks(min(xs), max(xs), 7), ticks(min(ys), max(ys), 5)
    x = Scale(across[0], across[-1], LEFT, WIDTH - RIGHT)
    y = Scale(up[0], up[-1], HEIGHT - BOTTOM, TOP)
    foot = HEIGHT - BOTTOM + 18
    parts = [
        *(_line(LEFT, y(v), WIDTH - RIGHT, y(v), "grid") for v in up),
        *(tag("text", y_text(v), x=LEFT - 8, y=y(v) + 4, class_="tick end") for v in up),
        *(tag("text", x_text(v), x=x(v), y=foot, class_="tick mid") for v in across),
        _line(LEFT, y.start, WIDTH - RIGHT, y.start, "axis"),
        tag("text", x_title, x=(LEFT + WIDTH - RIGHT) / 2, y=HEIGHT - 8, class_="title mid"),
        tag("text", y_title, x=8, y=16, class_="title"),
    ]
    return Axes(x, y, joined(parts))


def _line(x1: float, y1: float, x2: float, y2: float, kind: str) -> Html:
    return tag("line", x1=x1, y1=y1, x2=x2, y2=y2, class_=kind)


def drawing(title: str, *parts: object, width: int = WIDTH, height: int = HEIGHT) -> Html:
    """Return an SVG that says what it shows to those who cannot see it."""
    return tag(
        "svg",
        tag("title", title),
        *parts,
        viewbox=f"0 0 {width} {height}",
        role="img",
        aria_label=title,
        class_="drawing",
    )


def marker(shape: int, x: float, y: float, kind: str = "mark") -> Html:
    """Draw a point; series differ in shape, not in colour alone."""
    r = 4.5
    paths = (
        f"M{x - r} {y}a{r} {r} 0 1 0 {2 * r} 0a{r} {r} 0 1 0 {-2 * r} 0z",
        f"M{x - r} {y - r}h{2 * r}v{2 * r}h{-2 * r}z",
        f"M{x} {y - r - 1}l{r + 1} {2 * r}h{-2 * r - 2}z",
        f"M{x} {y - r - 1.5}l{r + 1.5} {r + 1.5}l{-r - 1.5} {r + 1.5}l{-r - 1.5} {-r - 1.5}z",
    )
    return tag("path", d=paths[shape % len(paths)], class_=f"{kind} series{shape % 4}")
