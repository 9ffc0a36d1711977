"""The two real networks that plans are compared on: limits, pictures in splits, and fidelity.

The 144 photos of `subjects` are split as `plan` splits its pictures, the same for every rule.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from subjects import SUBJECTS, all_photos, photos

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "examples"))
import demosaicking

from rankwise.models.network import Network, only
from rankwise.models.pictures import Calibration, load_calibration
from rankwise.models.preprocess import find_preprocess
from rankwise.models.splits import SPLITS, Split, SplitName
from rankwise.planner.objective import Objective
from rankwise.records import content_key

Array = NDArray[np.float32]
Run = Callable[[Array], Array]
SEED = 0
WINDOWS = 2
"""Of each photo, for the demosaicking network, which sees no resized ones: what it should make of
them is known."""
RESAMPLES = 2000


@dataclass(frozen=True, slots=True)
class Limits:
    """What plans of a network may lose."""

    values: tuple[float, float]
    unit: str


LIMITS = {
    "ResNet-50-thin": Limits((0.10, 0.25), "relative error of the logits"),
    "demosaicking": Limits((0.3, 1.0), "dB of PSNR"),
}


@cache
def network_of(name: str) -> Network:
    return SUBJECTS[name].network()


@cache
def split() -> Split:
    return Split.of([picture.sha256 for picture in photos()])


@cache
def calibration_of(name: str) -> Calibration:
    if name == "demosaicking":
        return _mosaics()
    subject = SUBJECTS[name]
    return load_calibration(all_photos(), subject.preprocess, subject.input_shape)


def _mosaics() -> Calibration:
    """With windows of which `truths` knows what the network should make of them."""
    subject, hashes = SUBJECTS["demosaicking"], [picture.sha256 for picture in photos()]
    assert subject.preprocess is not None
    return Calibration(
        content_key(["windows", SEED, WINDOWS, hashes]),
        [picture.name for picture in photos()],
        subject.preprocess,
        split(),
        {part: WINDOWS * len(split().indices(part)) for part in SPLITS},
        lambda part: np.stack([demosaicking.bayer(one) for one in truths(part)]),
        photos(),
        find_preprocess(subject.preprocess, subject.input_shape[1:]),
    )


def _windows(pixels: Any, number: int) -> Iterator[Array]:
    """Pictures, before they become mosaics: windows by lot, no pixel resampled."""
    rng = np.random.default_rng([SEED, pixels.size, number])
    size = demosaicking.SIZE
    for _ in range(WINDOWS):
        top, left = (int(rng.integers((side - size) // 2 + 1)) * 2 for side in pixels.shape[:2])
        top, left = min(top, pixels.shape[0] - size), min(left, pixels.shape[1] - size)
        yield demosaicking.truth(pixels[top : top + size, left : left + size])


@cache
def truths(part: SplitName) -> Array:
    """What the demosaicking network should give back for the mosaics of a split."""
    number = SPLITS.index(part)
    indices = split().indices(part)
    return np.stack([one for i in indices for one in _windows(photos()[i].pixels, number)])


def answers(network: Network) -> Run:
    """Return the network as a function from inputs to its only output."""
    return lambda inputs: only(network.outputs(inputs))


def psnr_by_photo(run: Run, part: SplitName) -> NDArray[np.float64]:
    """dB, over the inner pixels of each photo's windows."""
    inputs = getattr(calibration_of("demosaicking"), part)
    border = demosaicking.BORDER
    inner = (..., slice(border, -border), slice(border, -border))
    off = np.clip(run(inputs), 0, 1)[inner].astype(np.float64) - truths(part)[inner]
    squared = (off**2).reshape(-1, WINDOWS * off[0].size).mean(axis=1)
    found: NDArray[np.float64] = -10 * np.log10(np.maximum(squared, 1e-10))
    return found


@cache
def original_psnr() -> NDArray[np.float64]:
    """By photo of the confirm split."""
    return psnr_by_photo(answers(network_of("demosaicking")), "confirm")


def confirm_psnr(run: Run) -> float:
    """The score that demosaicking plans are held to: mean PSNR over the photos of the confirm
    split, which no factors are made or chosen from, less the bound (nine cases of ten) of what as
    many other photos lose."""
    lost = original_psnr() - psnr_by_photo(run, "confirm")
    doubt = 1.28 * np.sqrt(2 / len(lost)) * lost.std(ddof=1)
    return float(original_psnr().mean() - lost.mean() - doubt)


@cache
def objective_of(name: str, limit: float) -> Objective:
    if name == "demosaicking":
        floor = confirm_psnr(answers(network_of(name))) - limit
        return Objective(evaluate="cells:confirm_psnr", floor=floor)
    return Objective(max_error=limit)


def reported(name: str, network: Network) -> tuple[float, float, float]:
    """Loss on the report split (relative error, or dB of PSNR) with its 95% bootstrap interval
    over photos."""
    original = network_of(name)
    if name == "demosaicking":
        both = [psnr_by_photo(answers(one), "report") for one in (original, network)]
        return _resampled(both[0] - both[1], np.mean)
    inputs = calibration_of(name).report
    before, after = only(original.outputs(inputs)), only(network.outputs(inputs))
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
