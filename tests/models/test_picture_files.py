"""Files of pictures: what they hold is what is seen, and those that cannot be read are named."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from rankwise.errors import CalibrationError
from rankwise.models.picture_files import load_pictures


@pytest.mark.parametrize("suffix", [".tif", ".png"])
def test_16_bits_are_scaled(tmp_path, suffix):
    levels = np.linspace(0, 65535, 256).round().astype(np.uint16).reshape(16, 16)
    Image.fromarray(levels).save(tmp_path / f"deep{suffix}")
    for channels in (1, 3):
        (picture,) = load_pictures(tmp_path, channels)
        expected = np.arange(256).reshape(16, 16, 1).repeat(channels, axis=2)
        np.testing.assert_array_equal(picture.pixels, expected)


@pytest.mark.parametrize("dtype", [np.float32, np.int32])
def test_32_bits_are_refused(tmp_path, dtype):
    Image.fromarray(np.ones((16, 16), dtype)).save(tmp_path / "deep.tiff")
    with pytest.raises(CalibrationError, match=r"deep\.tiff has pixels of 32 bits"):
        load_pictures(tmp_path)


def test_damaged_where_only_decoding_shows_it(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "photo11.jpg", quality=95)
    data = (tmp_path / "photo11.jpg").read_bytes()
    (tmp_path / "photo11.jpg").write_bytes(data[: len(data) // 2])
    with pytest.raises(CalibrationError, match=r"photo11\.jpg cannot be read"):
        load_pictures(tmp_path)


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".gif", ".bmp"])
@pytest.mark.parametrize("size", [(1, 1), (3, 40)])
def test_small_flat_pictures_are_read(tmp_path, suffix, size):
    Image.new("RGB", size, (9, 9, 9)).save(tmp_path / f"icon{suffix}")
    (picture,) = load_pictures(tmp_path)
    assert picture.pixels.shape == (*size[::-1], 3)
    assert picture.flat


def test_a_fine_pattern_is_not_flat(tmp_path):
    """Each 8 x 8 block of a JPEG has the same mean."""
    pixels = np.tile(np.array([[0, 255], [255, 0]], np.uint8), (32, 32))
    Image.fromarray(pixels).save(tmp_path / "pattern.jpg", quality=95)
    assert not load_pictures(tmp_path)[0].flat
