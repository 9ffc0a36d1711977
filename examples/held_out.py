"""Photos that neither calibration nor search has seen, and what a network loses there."""

from __future__ import annotations

import math
import random
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, stdev

import numpy as np
from assets import fetch
from demosaicking import (
    SIZE,
    ByteImage,
    FloatArray,
    Restore,
    bayer,
    corners,
    psnr,
    read_photo,
    truth,
)

HELD_OUT = {"photos": 2, "snapshots": 6}
"""How many of each asset are kept back."""
SQUARES = 8
"""Squares of one photo that are judged, at most, so that no large photo takes long."""


@dataclass(frozen=True, slots=True)
class Photo:
    """A photo and the squares of it that are judged: `corners` as in `demosaicking`, `pictures`
    of shape (squares, 3, SIZE, SIZE)."""

    name: str
    image: ByteImage
    corners: Sequence[tuple[int, int]]
    pictures: FloatArray

    @classmethod
    def read(cls, file: Path) -> Photo:
        image = read_photo(file)
        every = corners(image)
        chosen = every[:: math.ceil(len(every) / SQUARES)]
        squares = [truth(image[y : y + SIZE, x : x + SIZE]) for y, x in chosen]
        return cls(file.stem, image, chosen, np.stack(squares))

    def restored(self, restore: Restore) -> FloatArray:
        """What a network makes of the mosaics of the squares, in the shape of `pictures`."""
        return np.concatenate([restore(bayer(picture)[None]) for picture in self.pictures])

    def most_changed(self, before: FloatArray, after: FloatArray) -> int:
        """Number of the square in which two networks' pictures differ most."""
        return int(np.abs(after - before).mean(axis=(1, 2, 3)).argmax())


def split_photos(folder: Path, seed: int) -> tuple[Path, list[Photo]]:
    """A folder for calibration, made anew, and the photos that `seed` keeps back."""
    calibration, held_out = folder / "calibration", []
    shutil.rmtree(folder, ignore_errors=True)
    calibration.mkdir(parents=True)
    for asset, count in HELD_OUT.items():
        files = sorted(fetch(asset).iterdir())
        kept_back = random.Random(seed).sample(files, count)
        held_out += [Photo.read(file) for file in kept_back]
        for file in files:
            if file not in kept_back:
                shutil.copy(file, calibration)
    return calibration, held_out


Outputs = Mapping[str, FloatArray]
"""What a network made of each photo, by the photo's name."""


def outputs(restore: Restore, photos: Sequence[Photo]) -> Outputs:
    return {photo.name: photo.restored(restore) for photo in photos}


@dataclass(frozen=True, slots=True)
class Loss:
    """What a compressed network loses: `network_error` is the relative error of its outputs over
    all photos, `original_db` the mean PSNR of the original's, `lost_db` by how much each
    photo's PSNR is less."""

    network_error: float
    original_db: float
    lost_db: Mapping[str, float]

    @classmethod
    def of(cls, photos: Sequence[Photo], original: Outputs, compressed: Outputs) -> Loss:
        before = {photo.name: psnr(original[photo.name], photo.pictures) for photo in photos}
        after = {photo.name: psnr(compressed[photo.name], photo.pictures) for photo in photos}
        changed = sum(_squares(compressed[name] - original[name]) for name in before)
        error = math.sqrt(changed / sum(map(_squares, original.values())))
        lost = {name: before[name] - after[name] for name in before}
        return cls(error, fmean(before.values()), lost)

    @property
    def mean_db(self) -> float:
        return fmean(self.lost_db.values())

    @property
    def standard_error_db(self) -> float:
        """Of the mean: how far that of other photos may well be from it."""
        return stdev(self.lost_db.values()) / math.sqrt(len(self.lost_db))

    @property
    def worst(self) -> str:
        """Name of the photo that loses most."""
        return max(self.lost_db, key=lambda name: self.lost_db[name])


def _squares(values: FloatArray) -> float:
    return float(np.sum(np.square(values, dtype=np.float64)))
