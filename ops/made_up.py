"""What a whole network's inputs are like, and arrays made up for them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

FLOATS = ("float32", "float16", "float64")
INTEGERS = ("int64", "int32", "int16", "int8", "uint8")
DTYPES = (*FLOATS, *INTEGERS, "bool")


@dataclass(frozen=True, slots=True)
class InputSpec:
    """One input of a network: `shape` is one batch's, which comes first where the input is
    `batched`; one that is not is the same for all examples.

    Integers that choose rows of a table lie below `table`. Other numbers that are made up lie in
    `low` to `high`, both included; floating ones without these are unit noise.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str = "float32"
    batched: bool = True
    low: float | None = None
    high: float | None = None
    table: int | None = None

    @property
    def plain(self) -> bool:
        """Whether it is like a picture: a batch of any float32 numbers."""
        return self.dtype == "float32" and self.batched and self.low is None

    def made_up(self, count: int | None, seed: int | Sequence[int] = 0) -> NDArray[Any]:
        """Return numbers for so many examples (None: for a batch), always the same ones for a
        seed."""
        shape = self.shape if count is None or not self.batched else (count, *self.shape[1:])
        rng = np.random.default_rng(seed)
        low, high = (0, self.table - 1) if self.table else (self.low, self.high)
        if low is None or high is None:
            return rng.standard_normal(shape, dtype=np.float32).astype(self.dtype)
        if low == high:
            return np.full(shape, low, self.dtype)
        return rng.integers(int(low), int(high), shape, endpoint=True).astype(self.dtype)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Self:
        return cls(**{**document, "shape": tuple(document["shape"])})


def all_made_up(
    specs: Iterable[InputSpec], count: int | None = None, seed: int = 0
) -> list[NDArray[Any]]:
    """Return made up arrays for all inputs, each of numbers of its own; a first one that is plain
    is what a network with this input alone would get."""
    return [
        spec.made_up(count, [seed, place] if place else seed) for place, spec in enumerate(specs)
    ]
