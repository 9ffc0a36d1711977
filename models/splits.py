"""Which calibration pictures serve for what, decided before any crop is made.

*fit* for factors and training; *select* for choosing; *confirm* for what a plan promises, after it
was chosen; *report* to be read once, at the end.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from ..errors import CalibrationError

SplitName = Literal["fit", "select", "confirm", "report"]
SPLITS: tuple[SplitName, ...] = ("fit", "select", "confirm", "report")

MIN_PICTURES = 3
FIT_PICTURES, SELECT_PICTURES, CONFIRM_PICTURES = 128, 64, 128
"""The most that these splits get: more would cost time in every pass, and say little more."""


@dataclass(frozen=True, slots=True)
class Split:
    """Indices of the pictures of each set. They have no picture in common."""

    fit: tuple[int, ...]
    select: tuple[int, ...]
    confirm: tuple[int, ...]
    report: tuple[int, ...]

    def indices(self, name: SplitName) -> tuple[int, ...]:
        return {
            "fit": self.fit,
            "select": self.select,
            "confirm": self.confirm,
            "report": self.report,
        }[name]

    @classmethod
    def of(cls, hashes: Sequence[str], seed: int = 0) -> Split:
        """Split by the order of content hashes: random, but the same for the same pictures.

        A quarter each to confirm and to report, a fifth to select, and the rest to fit, but what
        is more than these can use to report. Factors hardly gain by more pictures (demosaicking's
        error on others is 5% less with 14 than with 4), while how closely a limit can be kept goes
        with the root of how many confirm it. Each split has a picture, save that of three none is
        left to confirm with. Another seed is another order. Raises `CalibrationError` with fewer
        than three pictures.
        """
        order, count = _ordered(hashes, seed), len(hashes)
        quarter = max(1, count // 4)
        confirm = min(quarter, CONFIRM_PICTURES) if count > MIN_PICTURES else 0
        select = min(max(1, count // 5), SELECT_PICTURES)
        fit = min(count - select - confirm - quarter, FIT_PICTURES)
        first, second = select + confirm, select + confirm + fit
        return cls(
            fit=tuple(order[first:second]),
            select=tuple(order[:select]),
            confirm=tuple(order[select:first]),
            report=tuple(order[second:]),
        )

    @classmethod
    def without_confirm(cls, hashes: Sequence[str]) -> Split:
        """Split as for plans that were made before there was a confirm split: half of the pictures
        to fit, a quarter each to select and to report."""
        order, quarter = _ordered(hashes), max(1, len(hashes) // 4)
        return cls(
            fit=tuple(order[2 * quarter :]),
            select=tuple(order[:quarter]),
            confirm=(),
            report=tuple(order[quarter : 2 * quarter]),
        )


@dataclass(frozen=True, slots=True)
class SplitRule:
    """How pictures are split: in an order that the seed decides, with a confirm split or, as for
    plans that were made before there was one, without."""

    seed: int = 0
    confirm: bool = True

    def split(self, hashes: Sequence[str]) -> Split:
        """Raises `CalibrationError` with fewer than three pictures."""
        return Split.of(hashes, self.seed) if self.confirm else Split.without_confirm(hashes)

    @property
    def names(self) -> tuple[SplitName, ...]:
        return tuple(name for name in SPLITS if self.confirm or name != "confirm")


def _ordered(hashes: Sequence[str], seed: int = 0) -> list[int]:
    """Indices in the order of the hashes, or of the hashes' with the seed."""
    if len(hashes) < MIN_PICTURES:
        raise CalibrationError(
            f"calibration needs at least {MIN_PICTURES} different pictures, not {len(hashes)}"
        )
    keys = [hashlib.sha256(f"{seed} {one}".encode()).hexdigest() if seed else one for one in hashes]
    return sorted(range(len(hashes)), key=lambda index: keys[index])
