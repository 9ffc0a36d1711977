"""The demo's picture: nothing cut, nothing squeezed."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest


@pytest.fixture
def pictures(example):
    return example("pictures")


def test_equal_squares_differ_by_grey(pictures):
    square = np.random.default_rng(0).random((3, 128, 128), np.float32)
    panel = pictures.difference_panel(square, square)
    assert panel.picture.getextrema() == ((128, 128),) * 3


def test_a_difference_is_amplified(pictures):
    square = np.zeros((3, 128, 128), np.float32)
    changed = square + np.float32(0.02)
    shown = pictures.difference_panel(changed, square).picture.getextrema()
    assert shown == ((round(255 * (0.5 + 0.02 * pictures.AMPLIFIED)),) * 2,) * 3


def test_the_frame_is_around_the_square_that_is_shown(pictures):
    image = np.zeros((300, 400, 3), np.uint8)
    drawn = np.asarray(pictures.photo_panel(image, (20, 40), []).picture)[..., 0] > 0
    shown = slice(20 + 31, 20 + 128 - 31), slice(40 + 31, 40 + 128 - 31)
    around = slice(20 + 30, 20 + 128 - 30), slice(40 + 30, 40 + 128 - 30)
    assert not drawn[shown].any()
    assert drawn[around].sum() == 68**2 - 66**2


def test_photos_keep_their_shape_and_no_caption_is_cut(pictures):
    square = np.zeros((3, 128, 128), np.float32)
    wide = pictures.photo_panel(np.full((100, 200, 3), 7, np.uint8), (-40, -40), ["photo: a", ""])
    after = pictures.output_panel(
        square, ["compressed for onnxruntime-cpu", "88.88x faster, PSNR 88.88 dB"]
    )
    other = pictures.difference_panel(square, square)
    drawn = pictures.sheet("title", [[wide, after], [after, other], [other, after]])
    drawn.figure.draw_without_rendering()
    boxes = [panel.xaxis.label.get_window_extent() for panel in drawn.panels]
    assert all(a.x1 < b.x0 for a, b in pairwise(boxes) if b.x0 > a.x0)
    assert all(box.x0 >= 0 and box.x1 <= drawn.figure.bbox.x1 and box.y0 >= 0 for box in boxes)
    shape = drawn.panels[0].get_window_extent()
    assert shape.width == pytest.approx(2 * shape.height, rel=0.01)
