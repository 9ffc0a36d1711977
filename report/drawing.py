"""Latency over rank, as bars of text or as an SVG picture: one panel a layer, kind and device."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from html import escape

from ..documents import Row, Table
from ..errors import UsageError
from .cells import duration

BAR = 50
"""Characters that the slowest bar has."""
WIDTH, HEIGHT, MARGIN = 460, 260, 48
MIN_POINTS = 3
"""Fewest points of a panel."""
COLOURS = {"FASTER": "#1a7f37", "SLOWER": "#cf222e", "SAME": "#57606a", "UNDECIDED": "#9a6700"}


@dataclass(frozen=True, slots=True)
class Panel:
    """Rows of one kind, by rising rank; pairs of ranks by what they compute."""

    title: str
    rows: tuple[Row, ...]
    seconds: tuple[float, ...]
    """Latency of each row."""
    original_s: float

    @property
    def longest(self) -> float:
        return max(self.original_s, *self.seconds)


def panels(table: Table) -> list[Panel]:
    """Return what can be drawn. Raises `UsageError` if no layer has enough ranks of one kind."""
    groups: dict[tuple[str, ...], list[Row]] = {}
    for row in table.rows:
        if row.latency_s is None:
            continue
        policy = ", ".join(f"{name} {value}" for name, value in sorted(row.policy.items()))
        key = (row.spec_key, row.decomposition.kind, str(row.decomposition.groups))
        device = (row.device.backend, row.device.hardware_key, row.device.software_key, policy)
        groups.setdefault((*key, *device), []).append(row)
    drawable = [_panel(rows) for rows in groups.values() if len(rows) >= MIN_POINTS]
    if not drawable:
        raise UsageError(
            f"there is nothing to draw: no layer has {MIN_POINTS} ranks of one kind; profile first"
        )
    return drawable


def _panel(rows: list[Row]) -> Panel:
    first = rows[0]
    ordered = sorted(rows, key=lambda row: (row.macs, row.decomposition.ranks))
    title = f"{first.layer} {first.decomposition.kind} on {first.device.backend}"
    originals = [row.original_latency_s or 0.0 for row in rows]
    seconds = tuple(row.latency_s or 0.0 for row in ordered)
    return Panel(title, tuple(ordered), seconds, sum(originals) / len(originals))


def ranks(row: Row) -> str:
    """Return the ranks of a row, such as 16x32."""
    return "x".join(map(str, row.decomposition.ranks))


def draw_text(table: Table) -> str:
    """Draw bars of text; the last line of each panel is the original."""
    return "\n".join("\n".join(_bars(panel)) + "\n" for panel in panels(table))


def _bars(panel: Panel) -> Iterator[str]:
    yield panel.title
    wide = max(len(ranks(row)) for row in panel.rows)
    for row, seconds in zip(panel.rows, panel.seconds, strict=True):
        bar = "#" * max(round(BAR * seconds / panel.longest), 1)
        yield f"{ranks(row):>{wide}} {duration(seconds):>8} {bar} {row.verdict.lower()}"
    bar = "=" * max(round(BAR * panel.original_s / panel.longest), 1)
    yield f"{'-':>{wide}} {duration(panel.original_s):>8} {bar} original"


def draw_svg(table: Table) -> str:
    """Draw all panels below each other; points in the verdict's colour, a dashed line for the
    original's latency."""
    below = panels(table)
    body = "".join(
        f'<g transform="translate(0,{number * HEIGHT})">{"".join(_picture(panel))}</g>'
        for number, panel in enumerate(below)
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT * len(below)}" '
        f'font-family="sans-serif" font-size="11">{body}</svg>\n'
    )


def _picture(panel: Panel) -> Iterator[str]:
    places = _places(panel)
    top, bottom, right = MARGIN / 2, HEIGHT - MARGIN, WIDTH - MARGIN / 2

    def y(seconds: float) -> float:
        return bottom - (bottom - top) * seconds / panel.longest

    yield f'<text x="{MARGIN}" y="14" font-weight="bold">{escape(panel.title)}</text>'
    axes = f"M{MARGIN} {top}V{bottom}H{right}"
    yield f'<path d="{axes}" fill="none" stroke="#57606a"/>'
    yield f'<text x="4" y="{top + 4}">{duration(panel.longest)}</text>'
    yield f'<text x="4" y="{bottom}">0</text>'
    level = f"{y(panel.original_s):.1f}"
    yield f'<path d="M{MARGIN} {level}H{right}" stroke="#57606a" stroke-dasharray="4"/>'
    points = list(zip(places, panel.seconds, panel.rows, strict=True))
    line = " ".join(f"{x:.1f},{y(seconds):.1f}" for x, seconds, _ in points)
    yield f'<polyline points="{line}" fill="none" stroke="#8c959f"/>'
    for x, seconds, row in points:
        said = f"rank {ranks(row)}: {duration(seconds)}, {row.verdict}"
        colour = COLOURS.get(row.verdict, "#000000")
        yield f'<circle cx="{x:.1f}" cy="{y(seconds):.1f}" r="3" fill="{colour}">'
        yield f"<title>{escape(said)}</title></circle>"
    for x, _, row in points[:: max(len(points) // 6, 1)]:
        yield f'<text x="{x:.1f}" y="{bottom + 14}" text-anchor="middle">{ranks(row)}</text>'
    yield f'<text x="{(MARGIN + right) / 2}" y="{bottom + 30}" text-anchor="middle">rank</text>'


def _places(panel: Panel) -> list[float]:
    """Return the place of each row: by its rank, or one beside the other for pairs."""
    single = all(len(row.decomposition.ranks) == 1 for row in panel.rows)
    numbers = [r.decomposition.ranks[0] if single else n for n, r in enumerate(panel.rows)]
    low, high = min(numbers), max(numbers)
    span = (WIDTH - 1.5 * MARGIN - 16) / max(high - low, 1)
    return [MARGIN + 8 + (number - low) * span for number in numbers]
