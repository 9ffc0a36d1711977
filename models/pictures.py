"""Calibration pictures: read, split by picture, made into examples."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import CalibrationError
from ..inputs.examples import Examples, Given, NetworkInputs, Takes, inputs_of
from ..records import canonical_json
from ..sources.callables import is_callable_path
from .example_files import from_function, from_npz
from .picture_files import Picture, load_pictures
from .preprocess import (
    Image,
    Preprocess,
    Shape,
    channels_last,
    find_preprocess,
    preprocess_wanted,
)
from .splits import Split, SplitName, SplitRule

FloatArray = NDArray[np.float32]

READY = "none"
"""Name of the preprocessing of an `.npz`: its tensors are ready."""

FIT_EXAMPLES = 128
SELECT_EXAMPLES = 32
"""Examples that random crops and flips bring a small split up to. A dozen plain photos overfit:
factors and sensitivities made from them promise half of the error that held-out photos show."""

REPORT_EXAMPLES = 32
"""The same for the confirm and the report split, but only where pictures are not resized: one
window in the middle says little about a large photo, while one that is resized is seen whole."""

NAMED = 5
"""Most pictures that a note names."""

MIN_SCALE = 0.6
"""Shortest side of a random crop, as a share of the picture's."""


@dataclass(frozen=True, eq=False)
class Calibration:
    """Examples of each split, as the network takes them, made when they are asked for.

    `sha256` names the pictures' content, the preprocessing, the crops and the split. A split may
    hold several crops of a picture, which stand together: `examples` says how many it has.
    `pictures` are the names of all, whose indices the split has. Ready tensors have neither
    `photos` nor a `recipe`.
    """

    sha256: str
    pictures: Sequence[str]
    preprocess: str
    split: Split
    examples: Mapping[SplitName, int]
    make: Callable[[SplitName], Given]
    photos: Sequence[Picture] = ()
    recipe: Preprocess | None = None

    @property
    def notes(self) -> tuple[str, ...]:
        """What the reader should know of the pictures."""
        flat = [Path(picture.name).name for picture in self.photos if picture.flat]
        if not flat:
            return ()
        named = ", ".join(flat[:NAMED]) + (", ..." if len(flat) > NAMED else "")
        many = f"{len(flat)} of {self.images} pictures have one colour throughout and say little"
        return (f"{many}: {named}",)

    @property
    def images(self) -> int:
        """How many pictures there are."""
        return len(self.pictures)

    def names(self, split: SplitName) -> list[str]:
        """Return the names of a split's pictures, in the order in which its examples come."""
        return [Path(self.pictures[index]).name for index in self.split.indices(split)]

    @cached_property
    def fit(self) -> Given:
        return self.make("fit")

    @cached_property
    def select(self) -> Given:
        return self.make("select")

    @cached_property
    def confirm(self) -> Given:
        """Empty where there are only three pictures."""
        return self.make("confirm")

    @cached_property
    def report(self) -> Given:
        return self.make("report")


def load_calibration(
    path: str | Path,
    preprocess: str | None,
    takes: Takes,
    *,
    crops: int | None = None,
    seed: int = 0,
    confirm: bool = True,
) -> Calibration:
    """Load pictures from a folder, or ready tensors from an `.npz` or `package.module:callable`.

    `takes` are the network's inputs, or the shape of the only one, batch included. `crops`:
    examples made of each picture of the fit and select splits, the whole picture first, then random
    crops and flips; by default as many as small splits need. The confirm and report splits are
    plain pictures, or windows of them where the preprocessing does not resize. `seed` decides over
    split and crops. Without `confirm` there is no such split, as in plans that were made before
    there was one. Raises
    `CalibrationError` with one sentence.
    """
    path, inputs, rule = Path(path), inputs_of(takes), SplitRule(seed, confirm)
    if path.suffix.lower() == ".npz" or is_callable_path(str(path)):
        return _of_rows(path, preprocess, inputs, rule)
    if not inputs.plain:
        raise CalibrationError(
            f"pictures are no inputs of this network: give an .npz with an array for each of "
            f"{', '.join(inputs.names)}, or package.module:callable"
        )
    shape = inputs.shape[1:]
    if not preprocess or preprocess == READY:
        raise CalibrationError(preprocess_wanted(shape))
    recipe = find_preprocess(preprocess, shape)
    pictures = load_pictures(path, channels_of(shape))
    return _examples(pictures, recipe, shape, crops, rule)


def channels_of(shape: Shape) -> int:
    """Return how many channels the pictures for an input of that shape have: 1 or 3."""
    return 1 if (shape[-1] if channels_last(shape) else shape[0]) == 1 else 3


def _examples(
    pictures: Sequence[Picture],
    recipe: Preprocess,
    shape: Shape,
    crops: int | None,
    rule: SplitRule,
) -> Calibration:
    split = rule.split([picture.sha256 for picture in pictures])
    wanted = {name: _crops(name, len(split.indices(name)), recipe, crops) for name in rule.names}

    def make(name: SplitName) -> FloatArray:
        chosen = [pictures[index] for index in split.indices(name)]
        made = (_of_picture(p, recipe, shape, wanted[name], rule.seed) for p in chosen)
        together = [example for of_one in made for example in of_one]
        return np.stack(together) if together else np.zeros((0, *shape), np.float32)

    return Calibration(
        _hash([p.sha256 for p in pictures], recipe.settings, shape, {**wanted, "seed": rule.seed}),
        [picture.name for picture in pictures],
        recipe.name,
        split,
        {name: each * len(split.indices(name)) for name, each in wanted.items()},
        make,
        pictures,
        recipe,
    )


def _crops(name: SplitName, pictures: int, recipe: Preprocess, crops: int | None) -> int:
    """Return how many examples are made of each of a split's pictures."""
    if name in ("confirm", "report"):
        return 1 if recipe.resizes else math.ceil(REPORT_EXAMPLES / max(pictures, 1))
    return crops or math.ceil((FIT_EXAMPLES if name == "fit" else SELECT_EXAMPLES) / pictures)


def _hash(
    contents: Sequence[str], settings: dict[str, Any], shape: Sequence[Any], crops: Any
) -> str:
    named = [sorted(contents), settings, list(shape), crops]
    return hashlib.sha256(canonical_json(named).encode()).hexdigest()


def _of_picture(
    picture: Picture, recipe: Preprocess, shape: Shape, count: int, seed: int
) -> Iterator[FloatArray]:
    """Yield the example of the whole picture, then those of random crops."""
    rng = np.random.default_rng([seed, int(picture.sha256[:16], 16)])
    least = _least_size(picture.pixels, recipe, shape)
    try:
        yield recipe(picture.pixels, shape)
        for _ in range(count - 1):
            yield recipe(_random_crop(picture.pixels, least, rng), shape)
    except CalibrationError as error:
        raise CalibrationError(f"{picture.name}: {error}") from error


def _least_size(pixels: Image, recipe: Preprocess, shape: Shape) -> tuple[int, int]:
    """Return the smallest crop: a share of the picture, or the input where nothing is resized."""
    if not recipe.resizes:
        height, width = shape[:2] if channels_last(shape) else shape[1:]
        return height, width
    return math.ceil(pixels.shape[0] * MIN_SCALE), math.ceil(pixels.shape[1] * MIN_SCALE)


def _random_crop(pixels: Image, least: tuple[int, int], rng: np.random.Generator) -> Image:
    """Return a window of a random size that keeps the picture's proportions."""
    share = rng.uniform()
    height, width = (
        round(low + share * (full - low)) for low, full in zip(least, pixels.shape[:2], strict=True)
    )
    return random_window(pixels, height, width, rng)


def random_window(pixels: Image, height: int, width: int, rng: np.random.Generator) -> Image:
    """Return a window of that size anywhere in the picture, mirrored half the time."""
    top = rng.integers(pixels.shape[0] - height + 1)
    left = rng.integers(pixels.shape[1] - width + 1)
    window = pixels[top : top + height, left : left + width]
    return np.ascontiguousarray(window[:, ::-1] if rng.integers(2) else window)


def _of_rows(
    path: Path, preprocess: str | None, inputs: NetworkInputs, rule: SplitRule
) -> Calibration:
    """Ready examples, of which those that are there twice count once."""
    if preprocess not in (None, "", READY):
        raise CalibrationError(f"{path} holds ready tensors: leave --preprocess out")
    read = from_npz if path.suffix.lower() == ".npz" else _from_function
    rows = read(path, inputs)
    hashes, shape = _hashes(rows)
    different = list({digest: index for index, digest in reversed(list(enumerate(hashes)))}.items())
    rows = rows[[index for _, index in different]]
    split = rule.split([digest for digest, _ in different])
    named = {"confirm": True, "seed": rule.seed} if rule.confirm else {}
    return Calibration(
        _hash([digest for digest, _ in different], {}, shape, named),
        [f"row {index}" for _, index in different],
        READY,
        split,
        {name: len(split.indices(name)) for name in rule.names},
        lambda name: rows[list(split.indices(name))],
    )


def _from_function(path: Path, inputs: NetworkInputs) -> Given:
    return from_function(str(path), inputs)


def _hashes(rows: Given) -> tuple[list[str], Sequence[Any]]:
    """Return the hashes of the examples' contents, and the shape of one."""
    if isinstance(rows, Examples):
        return rows.hashes(), [[s.name, s.shape[s.batched :], s.dtype] for s in rows.inputs.specs]
    return [hashlib.sha256(row.tobytes()).hexdigest() for row in rows], rows.shape[1:]
