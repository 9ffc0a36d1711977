"""Every file of a network is run before it gets its name, and must answer as the network does.

Exporters have written files that run and answer something else (pytorch 166797, 169178: batch
normalisation folded wrongly). So the network in memory and the file see the same noise, and every
output is compared: softmax or indices, too, since these are what a file's user gets.

Two right answers differ by rounding. How much of it an output makes is measured: the network also
sees the noise with its last bits changed (`STEP` times the precision), and what that changes,
times `ROOM`, is tolerated. `FLOOR` times the precision is tolerated in any case (1e-3 for float32;
reordered sums made at most 1e-5 in the networks that we tried), and never more than `LARGEST`,
which even those wrong files exceed by far.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import ModelError
from ..inputs.examples import Examples, Given, NetworkInputs

Answers = Mapping[str, NDArray[Any]]
"""Every output by name, in the network's order; those of a file may have other names."""
FileRun = Callable[[Path, Given], Answers]

PRECISION = float(np.finfo(np.float32).eps)
STEP = 8
ROOM = 30
FLOOR = 8192
LARGEST = 0.1


@dataclass(frozen=True, slots=True)
class Checked:
    """What a file of a network has to answer. `answers` runs the network in memory; `precision` is
    that of the coarsest numbers it computes with."""

    answers: Callable[[Given], Answers]
    inputs: NetworkInputs
    precision: float = PRECISION

    def writing(self, write: Callable[[Path], object], run: FileRun) -> Callable[[Path], None]:
        """Return what writes a file as `write` does, and raises `ModelError` if it is wrong."""

        def write_and_run(target: Path) -> None:
            write(target)
            self.check(target, run)

        return write_and_run

    def check(self, path: Path, run: FileRun) -> None:
        """Raise `ModelError` unless `run` makes of the file what the network answers: one sentence
        that names an output and the difference."""
        noise = self.inputs.noise(self.inputs.batch, seed=0)
        wanted, given = self.answers(noise), run(path, noise)
        if len(wanted) != len(given):
            raise ModelError(
                f"the {path.suffix} file is not written: it has {len(given)} outputs "
                f"({', '.join(given)}), the network {len(wanted)} ({', '.join(wanted)})"
            )
        nudged = self.answers(_nudged(noise, STEP * self.precision))
        for (name, one), other in zip(wanted.items(), given.values(), strict=True):
            found = difference(one, other)
            tolerated = self._tolerated(difference(one, nudged[name]))
            if not found <= tolerated:
                raise ModelError(
                    f"the {path.suffix} file is not written: run on noise it answers otherwise "
                    f"than the network (output {name}: {_said(one, other, found)}; rounding "
                    f"explains {tolerated:.2g})"
                )

    def _tolerated(self, nudge: float) -> float:
        return min(max(FLOOR * self.precision, ROOM * nudge), LARGEST)


def _nudged(given: Given, step: float) -> Given:
    """Return the same with each floating number changed by that share of itself, up or down."""
    rng = np.random.default_rng(1)

    def moved(array: NDArray[Any]) -> NDArray[Any]:
        if not _is_floating(array):
            return array
        return np.asarray(array * (1 + step * rng.choice([-1, 1], array.shape)), array.dtype)

    if isinstance(given, Examples):
        return Examples(given.inputs, tuple(map(moved, given.arrays)))
    return moved(given)


def difference(wanted: NDArray[Any], given: NDArray[Any]) -> float:
    """Return how far apart two arrays are: the norm of their difference over that of the first, or,
    of numbers that are not floating, the share that differs. Infinite for other shapes, or where
    only one is not finite."""
    if wanted.shape != given.shape or _is_floating(wanted) != _is_floating(given):
        return np.inf
    if not _is_floating(wanted):
        return float(np.mean(wanted != given)) if wanted.size else 0.0
    finite = np.isfinite(wanted)
    if not np.array_equal(np.isfinite(given), finite) or not np.array_equal(
        given[~finite], wanted[~finite], equal_nan=True
    ):
        return np.inf
    first, second = wanted[finite].astype(np.float64), given[finite].astype(np.float64)
    lost, whole = float(np.linalg.norm(second - first)), float(np.linalg.norm(first))
    return lost / whole if lost and whole else (np.inf if lost else 0.0)


def _is_floating(array: NDArray[Any]) -> bool:
    return bool(array.dtype.kind == "f")


def _said(wanted: NDArray[Any], given: NDArray[Any], found: float) -> str:
    if wanted.shape != given.shape:
        return f"shape {given.shape} instead of {wanted.shape}"
    kind = "relative error" if _is_floating(wanted) else "share that differs"
    return f"{kind} {found:.2g}"
