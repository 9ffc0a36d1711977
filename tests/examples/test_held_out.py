"""Photos that are kept back, and what is said to be lost on them."""

from __future__ import annotations

import math

import numpy as np
import pytest
from PIL import Image


@pytest.fixture
def held_out(example):
    return example("held_out")


@pytest.fixture
def demosaicking(example):
    return example("demosaicking")


def photo(held_out, name, squares=2, value=0.5):
    picture = np.full((squares, 3, 128, 128), value, np.float32)
    return held_out.Photo(name, np.zeros((128, 128, 3), np.uint8), [(0, 0)] * squares, picture)


class TestPsnr:
    def test_is_that_of_the_definition(self, demosaicking):
        pictures = np.full((1, 3, 128, 128), 0.5, np.float32)
        assert demosaicking.psnr(pictures + np.float32(0.1), pictures) == pytest.approx(20)
        assert demosaicking.psnr(pictures, pictures) == math.inf

    def test_neither_the_border_nor_what_cannot_be_shown_counts(self, demosaicking):
        pictures = np.ones((1, 3, 128, 128), np.float32)
        restored = pictures + 1
        restored[..., : demosaicking.BORDER, :] = 0
        assert demosaicking.psnr(restored, pictures) == math.inf


@pytest.mark.parametrize("shape", [(128, 128, 3), (300, 451, 3), (512, 640, 3)])
def test_squares_lie_in_the_photo_side_by_side(demosaicking, shape):
    covered = np.zeros(shape[:2], int)
    for y, x in demosaicking.corners(np.zeros(shape, np.uint8)):
        covered[y : y + 128, x : x + 128] += 1
    assert covered.sum() == (shape[0] // 128) * (shape[1] // 128) * 128**2
    assert covered.max() == 1


class TestSplit:
    @pytest.fixture
    def split(self, held_out, monkeypatch, tmp_path):
        for number in range(14):
            folder = tmp_path / ("photos" if number < 5 else "snapshots")
            folder.mkdir(exist_ok=True)
            Image.new("RGB", (300, 200)).save(folder / f"{number:02d}.png")
        monkeypatch.setattr(held_out, "fetch", lambda name: tmp_path / name)
        return lambda seed: held_out.split_photos(tmp_path / "split", seed)

    def test_nothing_that_judges_is_calibrated_with(self, split):
        calibration, kept_back = split(3)
        names = [file.stem for file in calibration.iterdir()]
        names += [photo.name for photo in kept_back]
        assert sorted(names) == [f"{number:02d}" for number in range(14)]
        assert len(kept_back) == 8

    def test_the_seed_draws(self, split):
        drawn = [[photo.name for photo in split(seed)[1]] for seed in (1, 1, 2)]
        assert drawn[0] == drawn[1] != drawn[2]


class TestLoss:
    def test_is_what_its_definition_gives(self, held_out):
        photos = [photo(held_out, "a"), photo(held_out, "b")]
        original = {one.name: one.pictures + np.float32(0.01) for one in photos}
        compressed = {
            "a": photos[0].pictures + np.float32(0.01),
            "b": photos[1].pictures + np.float32(0.1),
        }
        loss = held_out.Loss.of(photos, original, compressed)
        assert loss.original_db == pytest.approx(40, abs=1e-4)
        assert loss.lost_db == pytest.approx({"a": 0, "b": 20}, abs=1e-4)
        assert loss.mean_db == pytest.approx(10, abs=1e-4)
        assert loss.standard_error_db == pytest.approx(10, abs=1e-4)  # sqrt(200 / 2)
        assert loss.network_error == pytest.approx(0.09 / 0.51 / math.sqrt(2), rel=1e-5)
        assert loss.worst == "b"

    def test_each_photo_weighs_the_same_whatever_its_size(self, held_out):
        photos = [photo(held_out, "a", squares=1), photo(held_out, "b", squares=8)]
        original = {one.name: one.pictures + np.float32(0.01) for one in photos}
        compressed = {
            "a": photos[0].pictures + np.float32(0.1),
            "b": photos[1].pictures + np.float32(0.01),
        }
        assert held_out.Loss.of(photos, original, compressed).mean_db == pytest.approx(10, abs=1e-4)
