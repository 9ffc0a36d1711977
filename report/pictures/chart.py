"""Points and lines over two axes, with intervals and names: fronts, curves, grids."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from .figure import Picture, in_style, key
from .style import DASHES, ONE_COLUMN, SERIES, SMALL_PT, SOFT

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.transforms import Bbox


@dataclass(frozen=True, slots=True)
class Point:
    """A point; `low` and `high` are an interval of y. `name` is written beside it where there is
    room, `note` is shown when it is pointed at, and it may be `hollow`."""

    x: float
    y: float
    low: float | None = None
    high: float | None = None
    note: str = ""
    name: str = ""
    hollow: bool = False

    @property
    def interval(self) -> tuple[float, float]:
        return (
            self.y if self.low is None else self.low,
            self.y if self.high is None else self.high,
        )


@dataclass(frozen=True, slots=True)
class Series:
    """Points of one kind, joined by a line or not."""

    name: str
    points: Sequence[Point]
    line: bool = True


@dataclass(frozen=True, slots=True)
class Axis:
    """An axis; `zero` says whether it has to start there."""

    label: str
    zero: bool = False


@in_style()
def chart(
    title: str, series: Sequence[Series], x: Axis, y: Axis, width: float = ONE_COLUMN
) -> Picture:
    """Draw the series, each with a mark and a dash of its own. Those without points are left out;
    without any the picture says so."""
    picture = Picture(title, width, 0.72 * width)
    panel = picture.panels[0]
    drawn = [one for one in series if one.points]
    if not drawn:
        panel.text(0.5, 0.5, "there is nothing to draw", ha="center", transform=panel.transAxes)
    panel.set_xlabel(x.label)
    panel.set_ylabel(y.label)
    for number, one in enumerate(drawn):
        _draw(picture, number, one)
    _limit(panel, [point for one in drawn for point in one.points], x, y)
    if len(drawn) > 1:
        dashes = [DASHES[n % len(DASHES)] if one.line else "none" for n, one in enumerate(drawn)]
        keys = [key(one.name, n, line=dashes[n]) for n, one in enumerate(drawn)]
        picture.legend(keys, columns=2 if width <= ONE_COLUMN else 3)
    _name(panel, drawn)
    return picture


def _draw(picture: Picture, number: int, series: Series) -> None:
    panel, colour = picture.panels[0], SERIES[number % len(SERIES)]
    points = series.points
    if series.line:
        dash = DASHES[number % len(DASHES)]
        panel.plot([p.x for p in points], [p.y for p in points], color=colour, linestyle=dash)
    picture.whiskers(panel, [p.x for p in points], [p.interval for p in points], colour)
    for hollow in (False, True):
        same = [p for p in points if p.hollow is hollow]
        notes = [p.note for p in same]
        xs, ys = [p.x for p in same], [p.y for p in same]
        picture.marks(panel, xs, ys, number, hollow=hollow, notes=notes)


def _limit(panel: Axes, points: Sequence[Point], x: Axis, y: Axis) -> None:
    """Let the axes cover all points, as much of their intervals as leaves room, and zero."""
    if points:
        low, high = with_intervals([p.y for p in points], [p.interval for p in points])
        margin = 0.06 * (high - low) or 0.05 * max(abs(high), 1.0)
        panel.set_ylim(low - margin, high + margin)
    if x.zero:
        panel.set_xlim(left=-0.02 * panel.get_xlim()[1])
    if y.zero:
        panel.set_ylim(bottom=min(0.0, panel.get_ylim()[0]))


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


PLACES: tuple[dict[str, Any], ...] = (
    {"xytext": (5, -3), "ha": "left", "va": "top"},
    {"xytext": (-5, 3), "ha": "right", "va": "bottom"},
    {"xytext": (5, 3), "ha": "left", "va": "bottom"},
    {"xytext": (-5, -3), "ha": "right", "va": "top"},
)
"""Where a point's name may stand, in points from it; the first that is free is taken."""
SAMPLES = 25
"""Places of a line or an interval that a name must not cover."""


def _name(panel: Axes, series: Sequence[Series]) -> None:
    """Write the points' names beside them where they cover nothing that was drawn, nor each
    other."""
    panel.figure.draw_without_rendering()  # type: ignore[union-attr]
    drawn = panel.transData.transform([*_drawn(series)] or [(0.0, 0.0)])
    taken: list[Bbox] = []
    for point in (p for one in series for p in one.points if p.name):
        for place in PLACES:
            text = panel.annotate(
                point.name, (point.x, point.y), textcoords="offset points",
                fontsize=SMALL_PT, color=SOFT, **place,
            )  # fmt: skip
            box = text.get_window_extent()
            inside = panel.bbox.x0 < box.x0 and box.x1 < panel.bbox.x1 and box.y0 > panel.bbox.y0
            if inside and not box.count_contains(drawn) and not any(map(box.overlaps, taken)):
                taken.append(box)
                break
            text.remove()


def _drawn(series: Sequence[Series]) -> Iterator[tuple[float, float]]:
    """Yield places that the points, their intervals and the lines between them cover."""
    shares = [number / (SAMPLES - 1) for number in range(SAMPLES)]
    for one in series:
        for point in one.points:
            low, high = point.interval
            yield from ((point.x, low + share * (high - low)) for share in shares)
        for a, b in pairwise(one.points) if one.line else ():
            yield from ((a.x + share * (b.x - a.x), a.y + share * (b.y - a.y)) for share in shares)
