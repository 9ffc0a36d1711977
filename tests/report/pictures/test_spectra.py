"""The picture of spectra: what is in it, read back."""

from __future__ import annotations

import numpy as np
import pytest

from rankwise.errors import UsageError
from rankwise.report.pictures.spectra import FLOOR, Spectrum, spectra_picture

FALLING = list(map(float, np.geomspace(5.0, 1e-9, 40)))
SPECTRA = [
    Spectrum("a<b&c", "svd", [FALLING], (8,)),
    Spectrum("conv" * 20, "tucker2", [FALLING, FALLING[:20]], (8, 4)),
    Spectrum("zero", "svd", [[0.0, 0.0]]),
    Spectrum("one", "svd", [[1.0]], (1,)),
    Spectrum("fifth", "svd", [FALLING]),
]


def test_each_layer_has_a_curve_for_each_rank_and_a_line_for_each_choice() -> None:
    panels = spectra_picture(SPECTRA, "t").panels[: len(SPECTRA)]
    assert [len(panel.lines) for panel in panels] == [2, 4, 1, 2, 1]
    titles = [panel.get_title(loc="left") for panel in panels]
    assert titles[0] == "a<b&c\nsvd, rank 8"
    assert titles[1].endswith("conv\ntucker2, rank 8x4")
    curve, choice = (np.asarray(line.get_xydata()) for line in panels[0].lines)
    assert list(curve[:, 0]) == list(range(1, 41))
    assert list(curve[:, 1]) == sorted(curve[:, 1], reverse=True)
    assert (curve[0, 1], curve[-1, 1]) == (1.0, FLOOR)
    assert set(choice[:, 0]) == {8}


def test_the_axis_ends_where_there_is_nothing_more_to_see() -> None:
    flat = spectra_picture([Spectrum("flat", "svd", [[1.0, 0.5, 0.2]])], "t").panels[0]
    steep = spectra_picture([Spectrum("steep", "svd", [FALLING])], "t").panels[0]
    assert 0.05 < flat.get_ylim()[0] < 0.1
    assert steep.get_ylim()[0] < 1e-4


def test_panels_without_a_layer_are_left_out() -> None:
    picture = spectra_picture(SPECTRA, "t")
    assert len(picture.figure.axes) == len(SPECTRA)
    with pytest.raises(UsageError, match="no layer whose spectrum"):
        spectra_picture([], "t")
