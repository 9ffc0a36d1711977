"""Singular values of layers, with the ranks that were chosen: one panel a layer."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ...errors import UsageError
from .figure import Picture, in_style, key, short
from .style import DASHES, ONE_COLUMN, SERIES, SMALL_PT, SOFT, TEXT_PT, TWO_COLUMNS

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLUMNS = 4
FLOOR = 1e-4
"""Singular values are drawn from the largest down to this share of it; those below lie on it."""


@dataclass(frozen=True, slots=True)
class Spectrum:
    """One layer. `curves` are singular values, falling, one curve for each rank of the kind;
    `ranks` the chosen ranks in the same order, or none."""

    layer: str
    kind: str
    curves: Sequence[Sequence[float]]
    ranks: Sequence[int] = ()


@in_style()
def spectra_picture(spectra: Sequence[Spectrum], title: str) -> Picture:
    """Draw the spectra; an upright line is a chosen rank. Raises `UsageError` without any."""
    if not spectra:
        raise UsageError("there is no layer whose spectrum could be drawn")
    columns, rows = min(len(spectra), COLUMNS), math.ceil(len(spectra) / COLUMNS)
    width = ONE_COLUMN if columns == 1 else TWO_COLUMNS * max(columns, 2) / COLUMNS
    height = 2.4 if columns == 1 else 0.4 + 1.45 * rows
    floor = _lowest(spectra)
    picture = Picture(title, width, height, rows, columns)
    for number, (panel, spectrum) in enumerate(zip(picture.panels, spectra, strict=False)):
        _draw(panel, spectrum, floor, first=number % columns == 0)
    for panel in picture.panels[len(spectra) :]:
        picture.leave_out(panel)
    picture.figure.supxlabel("number of the singular value", fontsize=TEXT_PT)
    picture.figure.supylabel("share of the largest", fontsize=TEXT_PT)
    _keys(picture, spectra)
    return picture


def _shares(curve: Sequence[float]) -> list[float]:
    largest = max(curve[0], 1e-300)
    return [max(value / largest, FLOOR) for value in curve]


def _lowest(spectra: Sequence[Spectrum]) -> float:
    """Return the power of ten from which on there is something to see, at most a tenth."""
    least = min(share for one in spectra for curve in one.curves for share in _shares(curve))
    return max(10.0 ** math.floor(math.log10(min(least, 0.1)) + 1e-9), FLOOR)


def _draw(panel: Axes, spectrum: Spectrum, floor: float, *, first: bool) -> None:
    for number, curve in enumerate(spectrum.curves):
        colour, dash = SERIES[number % len(SERIES)], DASHES[number % len(DASHES)]
        panel.plot(range(1, len(curve) + 1), _shares(curve), color=colour, linestyle=dash)
        if number < len(spectrum.ranks):
            rank = min(spectrum.ranks[number], len(curve))
            panel.axvline(rank, color=colour, linestyle=dash, linewidth=0.8)
    at = f", rank {'x'.join(map(str, spectrum.ranks))}" if spectrum.ranks else ""
    panel.set_title(f"{short(spectrum.layer, 25)}\n{spectrum.kind}{at}", fontsize=SMALL_PT)
    panel.set_yscale("log")
    panel.set_ylim(floor * 0.8, 1.3)
    ticks = [10.0**-power for power in range(5) if 10.0**-power >= floor]
    panel.set_yticks(ticks, [f"{tick:g}" for tick in ticks], minor=False)
    panel.minorticks_off()
    panel.set_xlim(left=0)
    panel.locator_params(axis="x", nbins=4, integer=True)
    panel.tick_params(labelleft=first)


def _keys(picture: Picture, spectra: Sequence[Spectrum]) -> None:
    """Say which curve belongs to which rank, where a kind has several, and what is upright."""
    curves = max(len(one.curves) for one in spectra)
    named = ["rank"] if curves == 1 else [f"{n}. rank" for n in range(1, curves + 1)]
    keys = [
        key(f"of the {name}", line=DASHES[n % len(DASHES)], colour=SERIES[n % len(SERIES)])
        for n, name in enumerate(named)
        if curves > 1
    ]
    if any(one.ranks for one in spectra):
        keys.append(key("upright: the chosen rank", colour=SOFT, line="-"))
    if keys:
        picture.legend(keys, columns=3 if len(spectra) > 1 else 2)
