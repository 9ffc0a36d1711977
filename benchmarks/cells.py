"""The two real networks that plans are compared on: pictures in three splits, and fidelity.

Photos are those of `examples/assets.py` and `examples/scenes.py`, 144 in all: half fit, a quarter
select, a quarter report, by lot and the same for every rule.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "examples"))
import demosaicking
from assets import fetch
from scenes import fetch_scenes

from rankwise.models.network import Network
from rankwise.models.pictures import Calibration, Picture, Split, load_pictures
from rankwise.models.preprocess import find_preprocess
from rankwise.models.source import load_network
from rankwise.planner.objective import Objective
from rankwise.records import content_key

Array = NDArray[np.float32]
Run = Callable[[Array], Array]
SEED = 0
WINDOWS = 2
"""Of each photo, for the demosaicking network, which sees no resized ones."""
FIT_CROPS = 2
"""Of each photo, for ResNet-50-thin."""
RESAMPLES = 2000


@dataclass(frozen=True)
class Subject:
    """A network, where it comes from, and the limits that plans are made for."""

    name: str
    source: str
    input_shape: tuple[int, ...]
    limits: tuple[float, float]
    unit: str

    @property
    def path(self) -> str:
        return str(fetch(self.source)) if self.source.endswith(".onnx") else self.source


SUBJECTS = {
    subject.name: subject
    for subject in (
        Subject(
            "ResNet-50-thin",
            "open-nsfw.onnx",
            (1, 224, 224, 3),
            (0.10, 0.25),
            "relative error of the logits",
        ),
        Subject("demosaicking", "demosaicking:network", (1, 3, 128, 128), (0.3, 1.0), "dB of PSNR"),
    )
}


@cache
def network_of(name: str) -> Network:
    subject = SUBJECTS[name]
    return load_network(subject.path, input_shape=subject.input_shape)


@cache
def photos() -> tuple[tuple[Picture, ...], Split]:
    folders = [fetch("photos"), fetch("snapshots"), fetch_scenes()]
    found = {p.sha256: p for folder in folders for p in load_pictures(folder)}
    pictures = tuple(found[key] for key in sorted(found))
    return pictures, Split.of([picture.sha256 for picture in pictures])


@cache
def calibration_of(name: str) -> Calibration:
    pictures, split = photos()
    key = content_key([name, SEED, WINDOWS, FIT_CROPS, [p.sha256 for p in pictures]])
    recipe = "demosaicking:mosaic" if name == "demosaicking" else "caffe-bgr"
    counts = {"fit": FIT_CROPS, "select": 1, "report": 1}
    if name == "demosaicking":
        counts = dict.fromkeys(counts, WINDOWS)
    examples = {part: count * len(getattr(split, part)) for part, count in counts.items()}
    return Calibration(key, len(pictures), recipe, split, examples, partial(_examples, name))


def _examples(name: str, part: str) -> Array:
    if name == "demosaicking":
        return np.stack([demosaicking.bayer(one) for one in truths(part)])
    pictures, split = photos()
    views = (_views(pictures[i].pixels, part) for i in getattr(split, part))
    return np.stack([one for each in views for one in each])


def _views(pixels: Any, part: str) -> Iterator[Array]:
    """The whole photo; for the fit split a random crop of it as well."""
    shape = SUBJECTS["ResNet-50-thin"].input_shape[1:]
    recipe = find_preprocess("caffe-bgr", shape)
    rng = np.random.default_rng([SEED, pixels.size])
    yield recipe(pixels, shape)
    for _ in range(FIT_CROPS - 1 if part == "fit" else 0):
        sides = [round(rng.uniform(0.6, 1) * side) for side in pixels.shape[:2]]
        top, left = (
            rng.integers(whole - side + 1) for whole, side in zip(pixels.shape, sides, strict=False)
        )
        window = pixels[top : top + sides[0], left : left + sides[1]]
        yield recipe(window[:, :: rng.choice((-1, 1))], shape)


def _windows(pixels: Any, number: int) -> Iterator[Array]:
    """Pictures, before they become mosaics: windows by lot, no pixel resampled."""
    rng = np.random.default_rng([SEED, pixels.size, number])
    size = demosaicking.SIZE
    for _ in range(WINDOWS):
        top, left = (int(rng.integers((side - size) // 2 + 1)) * 2 for side in pixels.shape[:2])
        top, left = min(top, pixels.shape[0] - size), min(left, pixels.shape[1] - size)
        yield demosaicking.truth(pixels[top : top + size, left : left + size])


@cache
def truths(split: str) -> Array:
    """What the demosaicking network should give back for the mosaics of a split."""
    pictures, parts = photos()
    number = ("fit", "select", "report").index(split)
    indices = getattr(parts, split)
    return np.stack([one for i in indices for one in _windows(pictures[i].pixels, number)])


def psnr_by_photo(run: Run, split: str) -> NDArray[np.float64]:
    """dB, over the inner pixels of each photo's windows."""
    inputs = getattr(calibration_of("demosaicking"), split)
    border = demosaicking.BORDER
    inner = (..., slice(border, -border), slice(border, -border))
    off = np.clip(run(inputs), 0, 1)[inner].astype(np.float64) - truths(split)[inner]
    squared = (off**2).reshape(-1, WINDOWS * off[0].size).mean(axis=1)
    found: NDArray[np.float64] = -10 * np.log10(np.maximum(squared, 1e-10))
    return found


@cache
def original_psnr() -> NDArray[np.float64]:
    """By photo of the select split."""
    return psnr_by_photo(network_of("demosaicking").outputs, "select")


def select_psnr(run: Run) -> float:
    """The score that demosaicking plans are held to: mean PSNR over the photos of the select
    split, less the bound (nine cases of ten) of what as many other photos lose."""
    lost = original_psnr() - psnr_by_photo(run, "select")
    doubt = 1.28 * np.sqrt(2 / len(lost)) * lost.std(ddof=1)
    return float(original_psnr().mean() - lost.mean() - doubt)


@cache
def objective_of(name: str, limit: float) -> Objective:
    if name == "demosaicking":
        floor = select_psnr(network_of(name).outputs) - limit
        return Objective(evaluate="cells:select_psnr", floor=floor)
    return Objective(max_error=limit)


def reported(name: str, network: Network) -> tuple[float, float, float]:
    """Loss on the report split (relative error, or dB of PSNR) with its 95% bootstrap interval
    over photos."""
    original = network_of(name)
    if name == "demosaicking":
        both = [psnr_by_photo(one.outputs, "report") for one in (original, network)]
        return _resampled(both[0] - both[1], np.mean)
    inputs = calibration_of(name).report
    before, after = original.outputs(inputs), network.outputs(inputs)
    squares = [np.sum(a.reshape(len(a), -1) ** 2, axis=1) for a in (after - before, before)]
    return _resampled(np.stack(squares, axis=1), _relative)


def _relative(squares: Any) -> float:
    lost, whole = np.sum(squares, axis=0)
    return float(np.sqrt(lost / whole))


def _resampled(values: Any, statistic: Callable[[Any], Any]) -> tuple[float, float, float]:
    rng = np.random.default_rng(SEED)
    draws = [
        statistic(values[rng.integers(len(values), size=len(values))]) for _ in range(RESAMPLES)
    ]
    low, high = np.quantile(draws, (0.025, 0.975))
    return float(statistic(values)), float(low), float(high)
