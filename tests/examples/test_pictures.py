"""The demo's picture: nothing cut, nothing squeezed."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import ImageFont


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


def test_photos_keep_their_shape(pictures):
    wide = pictures.photo_panel(np.full((100, 200, 3), 7, np.uint8), (-40, -40), [])
    drawn = np.asarray(pictures.sheet("", [[wide]]))
    rows, columns = np.nonzero((drawn == 7).all(axis=2))
    assert np.ptp(columns) + 1 == pytest.approx(2 * (np.ptp(rows) + 1), abs=16)


@pytest.mark.parametrize("backend", ["onnxruntime-cpu", "torch-cpu"])
def test_no_caption_is_cut(pictures, backend):
    square = np.zeros((3, 128, 128), np.float32)
    font = ImageFont.load_default(pictures.CAPTION_SIZE)
    lines = [
        f"compressed for {backend}",
        "88.88x faster, PSNR 88.88 dB",
        *pictures.difference_panel(square, square).caption,
    ]
    assert max(map(font.getlength, lines)) <= pictures.SIDE
