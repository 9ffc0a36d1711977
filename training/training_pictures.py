"""Examples to train on: random crops and flips of the fit split's pictures, and of no other's."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ..inputs.examples import Given, Takes, inputs_of
from ..models.pictures import Calibration, random_window
from ..models.preprocess import Image, Preprocess, channels_last, check_holds

FloatArray = NDArray[np.float32]

MIN_SCALE = 0.5
"""Shortest side of a random crop, as a share of the picture's, where pictures are resized."""
MAX_GAIN = 1.3
"""Brightness and contrast of a crop are changed by up to this factor: the original network
answers for any picture, so that variety costs nothing but time."""


class TrainingExamples(Protocol):
    """Examples to train on, drawn at random."""

    def batch(self, size: int, rng: np.random.Generator) -> Given:
        """Return `size` examples, drawn by `rng` alone."""
        ...


class Rows:
    """Ready tensors, drawn as they are: what a flip would mean is not known."""

    def __init__(self, rows: Given) -> None:
        self._rows = rows

    def batch(self, size: int, rng: np.random.Generator) -> Given:
        return self._rows[rng.integers(len(self._rows), size=size)]


class Crops:
    """Random windows of pictures, mirrored half the time, brighter or darker."""

    def __init__(self, pictures: Sequence[Image], recipe: Preprocess, shape: Sequence[int]) -> None:
        """Raises `CalibrationError` if a picture is too small for the recipe."""
        self._pictures, self._recipe, self._shape = pictures, recipe, tuple(shape)
        if not recipe.resizes:
            for pixels in pictures:
                check_holds(pixels, *self._size_of_input)

    @property
    def _size_of_input(self) -> tuple[int, int]:
        height, width = self._shape[:2] if channels_last(self._shape) else self._shape[1:]
        return height, width

    def batch(self, size: int, rng: np.random.Generator) -> FloatArray:
        chosen = rng.integers(len(self._pictures), size=size)
        return np.stack([self._example(self._pictures[index], rng) for index in chosen])

    def _example(self, pixels: Image, rng: np.random.Generator) -> FloatArray:
        height, width = self._size(pixels, rng)
        return self._recipe(_relit(random_window(pixels, height, width, rng), rng), self._shape)

    def _size(self, pixels: Image, rng: np.random.Generator) -> tuple[int, int]:
        if not self._recipe.resizes:
            return self._size_of_input
        share = rng.uniform(MIN_SCALE, 1)
        return math.ceil(pixels.shape[0] * share), math.ceil(pixels.shape[1] * share)


def _relit(window: Image, rng: np.random.Generator) -> Image:
    """Return the window with another brightness and contrast."""
    gain = np.exp(rng.uniform(-1, 1) * np.log(MAX_GAIN))
    shift = rng.uniform(-1, 1) * 255 * (MAX_GAIN - 1) / 4
    middle = window.mean(dtype=np.float64)
    values = (window.astype(np.float32) - middle) * gain + middle + shift
    relit: Image = np.clip(values, 0, 255).astype(np.uint8)
    return relit


def training_examples(calibration: Calibration, takes: Takes) -> TrainingExamples:
    """Return the examples of the fit split's pictures.

    Raises `CalibrationError` if one of them is another by now.
    """
    if calibration.recipe is None:
        return Rows(calibration.fit)
    photos = [calibration.photos[index].pixels for index in calibration.split.fit]
    return Crops(photos, calibration.recipe, inputs_of(takes).shape[1:])
