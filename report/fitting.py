"""Tables that fit a terminal: what all rows share is said once, long names lose their middle."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

GAP = 2
MIN_NAME = 12
"""A layer's name keeps so many letters."""
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
