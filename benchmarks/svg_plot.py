"""A small scatter or line picture as SVG, for results that are kept in the repository."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape
from pathlib import Path

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 720, 440, 70, 200, 30, 60
COLOURS = ("#0b6fa4", "#c2570c", "#2f7d32", "#7b3fa0", "#8a6d00", "#555555")
SHAPES = ("circle", "square", "diamond")


@dataclass(frozen=True, slots=True)
class Series:
    """Points (x, y), joined by a line if `line`; `labels` stand beside the points."""

    name: str
    points: Sequence[tuple[float, float]]
    line: bool = False
    labels: Sequence[str] = field(default=())


def write_svg(path: Path, title: str, x_label: str, y_label: str, series: Sequence[Series]) -> None:
    """Series are told apart by shape and colour, and named at the side."""
    points = [point for one in series for point in one.points]
    xs, ys = _range([x for x, _ in points]), _range([y for _, y in points])
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" '
        f'font-family="sans-serif" font-size="12" role="img" aria-label="{escape(title)}">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>',
        f'<text x="{LEFT}" y="18" font-size="14" fill="#111111">{escape(title)}</text>',
        *_axes(xs, ys, x_label, y_label),
    ]
    for number, one in enumerate(series):
        parts += _series(one, number, xs, ys)
    path.write_text("\n".join([*parts, "</svg>"]) + "\n", encoding="utf-8")


def _range(values: Sequence[float]) -> tuple[float, float]:
    low, high = min(values), max(values)
    margin = 0.06 * (high - low) or 0.5
    return low - margin, high + margin


def _x(value: float, xs: tuple[float, float]) -> float:
    return LEFT + (WIDTH - LEFT - RIGHT) * (value - xs[0]) / (xs[1] - xs[0])


def _y(value: float, ys: tuple[float, float]) -> float:
    return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * (value - ys[0]) / (ys[1] - ys[0])


def _axes(
    xs: tuple[float, float], ys: tuple[float, float], x_label: str, y_label: str
) -> list[str]:
    parts = []
    for step in range(6):
        x = xs[0] + step * (xs[1] - xs[0]) / 5
        y = ys[0] + step * (ys[1] - ys[0]) / 5
        left, right, here = LEFT, WIDTH - RIGHT, _y(y, ys)
        parts += [
            f'<line x1="{left}" x2="{right}" y1="{here:.1f}" y2="{here:.1f}" stroke="#dddddd"/>',
            f'<text x="{left - 6}" y="{here + 4:.1f}" text-anchor="end">{y:.4g}</text>',
            f'<text x="{_x(x, xs):.1f}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle">'
            f"{x:.3g}</text>",
        ]
    middle = (LEFT + WIDTH - RIGHT) / 2
    turned = f'transform="rotate(-90 16 {HEIGHT / 2})"'
    parts += [
        f'<text x="{middle}" y="{HEIGHT - 14}" text-anchor="middle">{escape(x_label)}</text>',
        f'<text x="16" y="{HEIGHT / 2}" text-anchor="middle" {turned}>{escape(y_label)}</text>',
    ]
    return parts


def _series(
    one: Series, number: int, xs: tuple[float, float], ys: tuple[float, float]
) -> list[str]:
    colour, shape = COLOURS[number % len(COLOURS)], SHAPES[number % len(SHAPES)]
    places = [(_x(x, xs), _y(y, ys)) for x, y in one.points]
    parts = []
    if one.line:
        way = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        parts.append(f'<polyline points="{way}" fill="none" stroke="{colour}" stroke-width="2"/>')
    parts += [_mark(x, y, shape, colour) for x, y in places]
    for (x, y), label in zip(places, one.labels, strict=False):
        parts.append(f'<text x="{x + 7:.1f}" y="{y - 6:.1f}" font-size="10">{escape(label)}</text>')
    side, row = WIDTH - RIGHT + 20, TOP + 14 + 20 * number
    parts.append(_mark(side, row - 4, shape, colour))
    parts.append(f'<text x="{side + 12}" y="{row}">{escape(one.name)}</text>')
    return parts


def _mark(x: float, y: float, shape: str, colour: str) -> str:
    if shape == "circle":
        return f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4.5" fill="{colour}"/>'
    turned = f' transform="rotate(45 {x:.1f} {y:.1f})"' if shape == "diamond" else ""
    corner = f'x="{x - 4:.1f}" y="{y - 4:.1f}"'
    return f'<rect {corner} width="8" height="8" fill="{colour}"{turned}/>'
