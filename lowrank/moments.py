"""First and second moments of vectors that a layer computes or sees: what data-aware factors
are made from, and what they are judged by."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from ..errors import LayerError
from ..records import LayerSpec

CONSTANT = 5e-7
"""A value never varies whose second moment about the centre is at most this share of that about
zero: stored as float32, they differ by rounding alone."""


@dataclass(frozen=True, slots=True, eq=False)
class Moments:
    """Moments over `count` vectors of n values (all pictures together), in float64.

    `mean` (n,) is E[v], `second` (n, n) is E[v v^T], not centred.
    """

    mean: NDArray[np.float64]
    second: NDArray[np.float64]
    count: int
    _about: dict[bytes, NDArray[np.float64]] = field(default_factory=dict, init=False, repr=False)
    """What `about` made last, by its centre."""

    def __post_init__(self) -> None:
        channels = self.mean.shape[0] if self.mean.ndim == 1 else -1
        if self.second.shape != (channels, channels):
            raise LayerError(
                f"moments do not fit: mean {self.mean.shape}, second {self.second.shape}"
            )
        if not (np.isfinite(self.mean).all() and np.isfinite(self.second).all()):
            raise LayerError("the layer's data hold values that are not finite")

    @property
    def channels(self) -> int:
        return len(self.mean)

    @property
    def covariance(self) -> NDArray[np.float64]:
        """E[(v - mean)(v - mean)^T], (n, n); not to be changed."""
        return self.about(self.mean)

    def about(self, centre: NDArray[np.float64]) -> NDArray[np.float64]:
        """E[(v - centre)(v - centre)^T], (n, n): the covariance and what the mean is off; not to
        be changed. The last two are remembered: where shrinkages are compared the same ones are
        asked for again and again, and they are large."""
        key = centre.tobytes()
        if key not in self._about:
            off = self.mean - centre
            made = self.second - np.outer(self.mean, self.mean)
            if off.any():
                made += np.outer(off, off)
            constant = np.diag(made) <= CONSTANT * np.diag(self.second)
            made[constant] = made[:, constant] = 0.0
            made.flags.writeable = False
            while len(self._about) >= 2:
                del self._about[next(iter(self._about))]
            self._about[key] = made
        return self._about[key]

    @classmethod
    def zeros(cls, channels: int) -> Self:
        """No data yet: what a running sum starts from."""
        return cls(np.zeros(channels), np.zeros((channels, channels)), 0)

    @classmethod
    def from_outputs(cls, outputs: NDArray[Any]) -> Self:
        """Of vectors as rows, (count, n), count >= 1."""
        if outputs.ndim != 2 or not outputs.shape[0]:
            raise LayerError(f"vectors must be rows (n, C) with n >= 1, not {outputs.shape}")
        rows = np.asarray(outputs, dtype=np.float64)
        count = rows.shape[0]
        return cls(rows.mean(axis=0), rows.T @ rows / count, count)

    def merge(self, other: Moments) -> Moments:
        """Moments of both sets of vectors together."""
        if self.channels != other.channels:
            raise LayerError(f"moments of {self.channels} and {other.channels} channels differ")
        count = self.count + other.count
        if not count:
            return self
        share = other.count / count
        return Moments(
            (1 - share) * self.mean + share * other.mean,
            (1 - share) * self.second + share * other.second,
            count,
        )

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """As named arrays, ready for safetensors; the large one in float32, because 1e-7 of it
        is far less than what another picture would change."""
        return {
            "mean": self.mean,
            "second": self.second.astype(np.float32),
            "count": np.array([self.count]),
        }

    @classmethod
    def from_arrays(cls, arrays: Mapping[str, NDArray[Any]]) -> Self:
        exact = {name: np.asarray(arrays[name], np.float64) for name in ("mean", "second")}
        return cls(exact["mean"], exact["second"], int(arrays["count"][0]))


Source = Literal["", "outputs", "patches"]
"""Which moments a kind makes its factors from: those of the layer's output vectors (C_out values,
the bias included), those of what the kernel sees at one output position (C_in*kh*kw values in the
order of the weight's axes, padding included); empty for none."""

MAX_VALUES = 4608
"""Of the vectors that moments are kept of: a 3x3 kernel over 512 channels. Their second moments
then take 85 MB in a file and twice that in memory; those of a larger layer's patches would take
more than they are worth, and its factors of such kinds are made from the weights."""


def vector_size(spec: LayerSpec, source: Source) -> int:
    """How many values the vectors have that moments are taken of."""
    return spec.out_channels if source == "outputs" else math.prod(spec.weight_shape[1:])
