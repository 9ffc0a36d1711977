"""Tables that fit a terminal: what all rows share is said once, long names lose their middle."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from textwrap import wrap

GAP = 2
MIN_NAME = 12
"""A layer's name keeps so many letters."""
MIN_TEXT = 24
"""Letters of a text in the last column that stand in one line at least."""
DROPPED = ("interval", "x", "latency", "device", "keeps 3/4", "keeps 1/4", "shape")
"""Columns that go where there is no room, in this order."""


@dataclass(frozen=True, slots=True)
class Grid:
    """Columns and the cells below them. `shared` are columns whose cells are all the same."""

    columns: Sequence[str]
    lines: Sequence[Sequence[str]]
    shared: tuple[tuple[str, str], ...] = ()

    @property
    def widths(self) -> list[int]:
        return [
            max([len(name), *(len(line[i]) for line in self.lines)])
            for i, name in enumerate(self.columns)
        ]

    @property
    def width(self) -> int:
        return sum(self.widths) + GAP * (len(self.columns) - 1)

    def without(self, name: str) -> Grid:
        at = list(self.columns).index(name)
        lines = [[*line[:at], *line[at + 1 :]] for line in self.lines]
        return Grid([*self.columns[:at], *self.columns[at + 1 :]], lines, self.shared)

    def sharing(self, name: str) -> Grid:
        """The grid without a column of which all cells are the same: it is said once."""
        at = list(self.columns).index(name) if name in self.columns else -1
        values = {line[at] for line in self.lines} if at >= 0 else set()
        if len(values) != 1:
            return self
        made = self.without(name)
        return Grid(made.columns, made.lines, (*self.shared, (name, values.pop())))

    def with_short_names(self, width: int) -> Grid:
        """The grid with names cut in the middle, as far as the width asks for and no further."""
        if "layer" not in self.columns:
            return self
        at = list(self.columns).index("layer")
        room = max(MIN_NAME, self.widths[at] - max(0, self.width - width))
        lines = [[*line[:at], shortened(line[at], room), *line[at + 1 :]] for line in self.lines]
        return Grid(self.columns, lines, self.shared)


def shortened(name: str, room: int) -> str:
    """Return a name in so many letters: the end says most, so the middle goes."""
    if len(name) <= room:
        return name
    begin = (room - 1) // 3
    return f"{name[:begin]}…{name[begin + 1 - room :]}"


def fitted(grid: Grid, width: int | None) -> Grid:
    """Return the grid as it fits into so many letters a line (None: as many as it takes)."""
    grid = grid.sharing("device")
    if width is None:
        return grid
    for name in DROPPED:
        if grid.with_short_names(width).width > width and name in grid.columns:
            grid = grid.without(name)
    return grid.with_short_names(width)


def folded(grid: Grid, width: int | None) -> tuple[Grid, list[list[Sequence[str]]]]:
    """Return the grid, and the lines of text that each of its lines becomes: one, or several, where
    the text in the last column would be longer than its line (None: no line is too long). Where
    that is not enough, the operators go, whose shapes say as much, and names are cut."""
    if width is None or grid.width <= width:
        return grid, [[line] for line in grid.lines]
    if _least(grid) > width and "op" in grid.columns:
        grid = grid.without("op")
    grid = grid.with_short_names(grid.width - max(0, _least(grid) - width))
    room = max(MIN_TEXT, width - (grid.width - grid.widths[-1]))
    return grid, [_folded(line, room) for line in grid.lines]


def _least(grid: Grid) -> int:
    """How many letters a line has at least, however often its text is folded."""
    return grid.width - grid.widths[-1] + min(grid.widths[-1], MIN_TEXT)


def _folded(line: Sequence[str], room: int) -> list[Sequence[str]]:
    texts = wrap(line[-1], room, break_long_words=False, break_on_hyphens=False) or [""]
    blank = [""] * (len(line) - 1)
    return [[*line[:-1], texts[0]], *([*blank, text] for text in texts[1:])]
