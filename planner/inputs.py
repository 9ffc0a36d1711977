"""What network errors are measured on."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from ..inputs.examples import Given, Takes, inputs_of
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
    make: Callable[[], Given]
    names: Sequence[str]

    @classmethod
    def of(cls, calibration: Calibration, split: Literal["select", "confirm"]) -> Inputs:
        """The pictures of one split."""
        count = len(getattr(calibration.split, split))
        named = canonical_json([calibration.sha256, split])
        sha256 = hashlib.sha256(named.encode()).hexdigest()
        return cls(sha256, count, lambda: getattr(calibration, split), calibration.names(split))

    @classmethod
    def noise(cls, takes: Takes, seed: int) -> Inputs:
        """Made-up examples for a network that takes such inputs, where there are no pictures:
        unit noise, and integers that it may be given."""
        inputs = inputs_of(takes)
        shape = (SYNTHETIC_INPUTS, *inputs.shape[1:])
        named = canonical_json(["unit noise", shape if inputs.plain else inputs.to_json(), seed])
        sha256 = hashlib.sha256(named.encode()).hexdigest()
        names = [f"noise {number}" for number in range(1, SYNTHETIC_INPUTS + 1)]
        return cls(sha256, SYNTHETIC_INPUTS, lambda: inputs.noise(SYNTHETIC_INPUTS, seed), names)
