"""What network errors are measured on."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from ..backends.base import random_input
from ..models.pictures import Calibration
from ..records import canonical_json

SYNTHETIC_INPUTS = 8
"""Without calibration pictures errors are measured on this many examples of unit noise."""


@dataclass(frozen=True, slots=True)
class Inputs:
    """Examples (n, ...), those of one picture standing together, equally many of each.

    `make` is called once something has to be measured: pictures need not be decoded where
    everything is known. `names` are the pictures', for whoever reads of the worst of them.
    """

    sha256: str
    pictures: int
    make: Callable[[], NDArray[np.float32]]
    names: Sequence[str]

    @classmethod
    def of(cls, calibration: Calibration, split: Literal["select", "confirm"]) -> Inputs:
        """The pictures of one split."""
        count = len(getattr(calibration.split, split))
        named = canonical_json([calibration.sha256, split])
        sha256 = hashlib.sha256(named.encode()).hexdigest()
        return cls(sha256, count, lambda: getattr(calibration, split), calibration.names(split))

    @classmethod
    def noise(cls, input_shape: Sequence[int], seed: int) -> Inputs:
        """Examples of unit noise for a network with that input, where there are no pictures."""
        shape = (SYNTHETIC_INPUTS, *input_shape[1:])
        named = canonical_json(["unit noise", shape, seed])
        sha256 = hashlib.sha256(named.encode()).hexdigest()
        names = [f"noise {number}" for number in range(1, SYNTHETIC_INPUTS + 1)]
        return cls(sha256, SYNTHETIC_INPUTS, lambda: random_input(shape, seed=seed), names)
