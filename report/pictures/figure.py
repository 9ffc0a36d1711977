"""A picture that is being drawn: its panels and marks, and how it becomes a file."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...errors import UsageError
from .style import GROUND, INK, MARKS, SERIES, SOFT

if TYPE_CHECKING:
    from matplotlib.axes import Axes

FORMATS: dict[str, dict[str, Any]] = {
    ".png": {},
    ".svg": {"Date": None},
    ".pdf": {"CreationDate": None},
}
"""Suffix -> metadata that a file would else have; without dates, equal pictures are equal files."""

_turn = threading.RLock()


@contextmanager
def in_style() -> Iterator[None]:
    """Draw with our settings. They are the whole process's, so threads take turns, and whoever
    draws with matplotlib, too, finds their own again afterwards.

    Raises `UsageError` where matplotlib is missing.
    """
    try:
        from matplotlib import style
    except ImportError:
        raise UsageError("drawing needs matplotlib: pip install 'rankwise[pictures]'") from None
    with _turn, style.context(f"{__package__}.paper", after_reset=True):
        yield


def check_picture(path: Path) -> None:
    """Raise `UsageError` unless a picture can be drawn here in the format of this suffix."""
    if path.suffix.lower() not in FORMATS:
        raise UsageError(f"a picture is .png, .svg or .pdf, not {path.name}")
    with in_style():
        pass


class Picture:
    """A figure of panels, `rows` by `columns`, with its size in inches. To be made, drawn on and
    written within `in_style`."""

    def __init__(
        self, title: str, width: float, height: float, rows: int = 1, columns: int = 1
    ) -> None:
        from matplotlib.figure import Figure

        self.title = title
        self.figure = Figure(figsize=(width, height), layout="constrained")
        self.panels: list[Axes] = list(self.figure.subplots(rows, columns, squeeze=False).flat)
        self.notes: dict[str, Sequence[str]] = {}
        self._keys: list[Any] = []
        self._key_columns = 1

    def marks(
        self,
        panel: Axes,
        xs: Sequence[float],
        ys: Sequence[float],
        series: int,
        *,
        hollow: bool = False,
        notes: Sequence[str] = (),
    ) -> None:
        """Draw the marks of a series, filled or hollow, with a note each or none at all."""
        colour = SERIES[series % len(SERIES)]
        name = f"marks{len(self.notes)}"
        panel.plot(
            xs,
            ys,
            color=colour,
            linestyle="none",
            marker=MARKS[series % len(MARKS)],
            markerfacecolor=GROUND if hollow else colour,
            markeredgewidth=0.9,
            zorder=4,
            gid=name,
        )
        self.notes[name] = notes

    def whiskers(
        self,
        panel: Axes,
        places: Sequence[float],
        ends: Sequence[tuple[float, float]],
        colour: str = SOFT,
        *,
        across: bool = False,
    ) -> None:
        """Draw intervals, upwards or `across`."""
        draw = panel.hlines if across else panel.vlines
        lows, highs = [low for low, _ in ends], [high for _, high in ends]
        draw(list(places), lows, highs, color=colour, linewidth=0.8, zorder=3)

    def legend(self, handles: Sequence[Any], columns: int) -> None:
        """Have the legend drawn above all panels, where it covers nothing."""
        self._keys, self._key_columns = list(handles), columns

    def leave_out(self, panel: Axes) -> None:
        """Take away a panel that nothing was drawn on."""
        self.figure.delaxes(panel)

    def svg(self, salt: str) -> bytes:
        """Return the picture as SVG for a page, which has the title: text as text, names of parts
        made with `salt`."""
        from matplotlib import rc_context

        drawn = BytesIO()
        with (
            in_style(),
            rc_context({"svg.fonttype": "none", "svg.hashsalt": salt}),
            self._head(""),
        ):
            self.figure.savefig(drawn, format="svg", metadata=FORMATS[".svg"])
        return drawn.getvalue()

    def write(self, path: Path) -> None:
        """Write the picture in the format that the suffix names. Raises `UsageError` for another
        one, and where the file cannot be written."""
        check_picture(path)
        try:
            path.write_bytes(self.file(path.suffix.lower()))
        except OSError as error:
            raise UsageError(f"{path} cannot be written: {error.strerror}") from None

    def file(self, suffix: str) -> bytes:
        """Return the content of a file of a suffix in `FORMATS`."""
        about, drawn = {"Title": self.title, **FORMATS[suffix]}, BytesIO()
        with in_style(), self._head(self.title):
            self.figure.savefig(drawn, format=suffix[1:], metadata=about)
        return drawn.getvalue()

    @contextmanager
    def _head(self, title: str) -> Iterator[None]:
        """Put title and legend above the panels, if there are any."""
        if not title and not self._keys:
            yield
            return
        head = self.figure.legend(
            handles=self._keys,
            loc="outside upper left",
            ncols=self._key_columns,
            title=title or None,
            borderaxespad=0.2,
            alignment="left",
        )
        yield
        head.remove()


def short(name: str, most: int) -> str:
    """Return a name, or its end where it has more than so many letters."""
    return name if len(name) <= most else "..." + name[3 - most :]


def key(
    label: str,
    series: int | None = None,
    *,
    line: Any = "none",
    hollow: bool = False,
    colour: str = INK,
) -> Any:
    """Return an entry of a legend: a series' mark, or, without a series, a line."""
    from matplotlib.lines import Line2D

    own = SERIES[series % len(SERIES)] if series is not None else colour
    mark = MARKS[series % len(MARKS)] if series is not None else "none"
    face = GROUND if hollow else own
    return Line2D([], [], color=own, linestyle=line, marker=mark, markerfacecolor=face, label=label)
