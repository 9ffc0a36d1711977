"""The networks that benchmarks plan for, each with pictures that are like what it was made for.

Photos are those of `examples/assets.py` and `examples/scenes.py`, 144 in all, in an order by lot:
some go into a folder for calibration, the others are seen by nothing else. The digits are MNIST's.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "examples"))
from assets import cache_folder, fetch
from digits import digits
from scenes import fetch_scenes

from rankwise.models.network import Network
from rankwise.models.picture_files import Picture, load_pictures
from rankwise.models.pictures import random_window
from rankwise.models.preprocess import Preprocess, channels_last, find_preprocess
from rankwise.models.source import load_network

# Processes that are started load networks by their names, too.
HERE = Path(__file__).resolve().parent
PLACES = [str(HERE), str(HERE.parent / "examples"), os.environ.get("PYTHONPATH", "")]
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, PLACES))

Array = NDArray[np.float32]
WINDOWS = 2
"""Of each unseen photo, where the preprocessing does not resize."""


@dataclass(frozen=True, slots=True)
class Unseen:
    """Examples (n, ...) of pictures that no plan has read, those of one picture together."""

    examples: Array
    pictures: int


@dataclass(frozen=True, slots=True)
class Subject:
    """A network and how photos are made into its input; no `preprocess`: it reads digits."""

    name: str
    source: str
    input_shape: tuple[int, ...]
    preprocess: str | None

    @property
    def path(self) -> str:
        return str(fetch(self.source)) if self.source.endswith(".onnx") else self.source

    def network(self) -> Network:
        return load_network(self.path, input_shape=self.input_shape)

    def drawn(self, count: int, seed: int, place: Path, most: int = 500) -> tuple[Path, Unseen]:
        """What `--calibration` takes, of so many pictures, and at most so many of the others."""
        place.mkdir(parents=True, exist_ok=True)
        if self.preprocess is None:
            return _drawn_digits(count, seed, place / f"{count}-{seed}.npz", most)
        order = np.random.default_rng(seed).permutation(len(photos()))
        parts = order[:count], order[count : count + most]
        chosen, others = ([photos()[i] for i in part] for part in parts)
        folder = linked(chosen, place / f"{count}-{seed}")
        recipe = find_preprocess(self.preprocess, self.input_shape[1:])
        rows = [one for p in others for one in _views(p, recipe, self.input_shape[1:])]
        return folder, Unseen(np.stack(rows), len(others))


SUBJECTS = {
    subject.name: subject
    for subject in (
        Subject("demosaicking", "demosaicking:network", (1, 3, 128, 128), "demosaicking:mosaic"),
        Subject("ResNet-50-thin", "open-nsfw.onnx", (1, 224, 224, 3), "caffe-bgr"),
        Subject("digits", "digits:network", (1, 1, 28, 28), None),
        Subject("EfficientNet-lite0", "lite0:network", (1, 3, 224, 224), "imagenet"),
        Subject("detector", "detector:network", (1, 3, 320, 320), "imagenet"),
        Subject("vgg16", "vgg16", (1, 3, 224, 224), "imagenet"),
    )
}


RANDOM = Subject("resnet50", "resnet50", (1, 3, 224, 224), "imagenet")
"""With weights by lot, because no trained ones can be had: its speed alone says something."""


@cache
def photos() -> tuple[Picture, ...]:
    """Each content once, in the order of the hashes."""
    return tuple(sorted(first_photos(None), key=lambda picture: picture.sha256))


def first_photos(count: int | None) -> list[Picture]:
    """Those of the packages (28) before the scenes."""
    folders = [fetch("photos"), fetch("snapshots"), fetch_scenes()]
    found = {picture.sha256: picture for one in folders for picture in load_pictures(one)}
    return list(found.values())[:count]


def all_photos() -> Path:
    """A folder of them all."""
    return linked(photos(), cache_folder() / "all-photos")


def linked(pictures: Sequence[Picture], folder: Path) -> Path:
    """A folder of just these pictures."""
    folder.mkdir(parents=True, exist_ok=True)
    for picture in pictures:
        link = folder / (picture.sha256[:16] + Path(picture.name).suffix)
        if not link.exists():
            link.symlink_to(picture.name)
    return folder


def _views(picture: Picture, recipe: Preprocess, shape: tuple[int, ...]) -> Iterator[Array]:
    """The whole photo; windows of it by lot where the preprocessing does not resize."""
    pixels: Any = picture.pixels
    if recipe.resizes:
        yield recipe(pixels, shape)
        return
    rng = np.random.default_rng(int(picture.sha256[:16], 16))
    height, width = shape[:2] if channels_last(shape) else shape[1:]
    for _ in range(WINDOWS):
        yield recipe(random_window(pixels, height, width, rng), shape)


def _drawn_digits(count: int, seed: int, file: Path, most: int) -> tuple[Path, Unseen]:
    order = np.random.default_rng(seed).permutation(len(digits()))
    np.savez(file, inputs=digits()[order[:count]])
    others = digits()[order[count : count + most]]
    return file, Unseen(others, len(others))
