"""Moments of what layers see and compute, summed up batch by batch in bounded memory."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import ModelError
from ..lowrank import Moments, Source, vector_size
from ..records import LayerSpec, LayerUse
from .patches import patch_rows, positions

Wanted = Mapping[str, Iterable[Source]]
"""The vectors whose moments are wanted, by layer name."""
Gathered = dict[tuple[str, Source], Moments]

MAX_POSITIONS: dict[Source, int] = {"outputs": 1024, "patches": 196}
"""Output positions of one picture that moments are taken from. More add little: neighbours
are alike, and patches overlap. They are drawn at random, because a grid would see one phase of
a Bayer pattern."""

PENDING_ROWS = 1024
"""Rows that wait before they are summed up: then adding a matrix to the sums costs little
against making it."""

MAX_BYTES = 10**9
"""Bytes of the sums that are kept at a time; more layers take another pass."""


def portions(specs: Mapping[str, LayerSpec], wanted: Wanted) -> list[list[tuple[str, Source]]]:
    """Divide what is wanted into portions whose sums fit into `MAX_BYTES`: mostly one."""
    parts: list[list[tuple[str, Source]]] = [[]]
    held = 0
    for name, sources in wanted.items():
        for source in sorted(set(sources)):
            size = 8 * vector_size(specs[name], source) ** 2
            if parts[-1] and held + size > MAX_BYTES:
                parts.append([])
                held = 0
            parts[-1].append((name, source))
            held += size
    return [portion for portion in parts if portion]


@dataclass(slots=True)
class _Sum:
    """Sums over vectors: float64, made of blocks in float32 as the network computes."""

    total: NDArray[np.float64]
    square: NDArray[np.float64]
    count: int = 0
    pending: list[NDArray[np.float32]] = field(default_factory=list)

    def add(self, rows: NDArray[np.float32]) -> None:
        self.pending.append(rows)
        if sum(map(len, self.pending)) >= PENDING_ROWS:
            self.settle()

    def settle(self) -> None:
        """Only one triangle is made and kept."""
        from scipy.linalg.blas import ssyrk

        if not self.pending:
            return
        rows = np.concatenate(self.pending)
        self.pending = []
        self.total += rows.sum(axis=0, dtype=np.float64)
        # Rows in C order are columns in the order that BLAS wants.
        self.square += ssyrk(1.0, rows.T)
        self.count += len(rows)

    def moments(self) -> Moments:
        """Return them; zeros where nothing was added."""
        self.settle()
        upper = np.triu(self.square)
        second = upper + np.triu(upper, 1).T
        counted = max(self.count, 1)
        return Moments(self.total / counted, second / counted, self.count)


@dataclass(frozen=True, slots=True)
class BatchRows:
    """What layers see and compute in one batch, of which the first `counted` pictures count, as
    vectors to be summed up."""

    specs: Mapping[str, LayerSpec]
    batch: int
    counted: int
    rows: list[tuple[str, Source, NDArray[np.float32]]] = field(default_factory=list)

    def add_output(self, name: str, output: NDArray[Any]) -> None:
        """One layer's output, channels on axis 1 of a convolution's, on the last of others."""
        rows = channel_rows(self._counting(output), channel_axis(self.specs[name]))
        self.rows.append((name, "outputs", rows))

    def add_input(self, name: str, values: NDArray[Any]) -> None:
        """Add one layer's input, whose patches are taken."""
        spec, values = self.specs[name], self._counting(values)
        if spec.op == "linear":
            rows = channel_rows(values, -1)
        else:  # a layer may be called at several sizes
            at = replace(spec, input_shape=values.shape[1:])
            rows = patch_rows(at, values, MAX_POSITIONS["patches"])
        self.rows.append((name, "patches", rows))

    def _counting(self, values: NDArray[Any]) -> NDArray[Any]:
        """Return the values without pictures that only fill up the batch, save where a layer sees
        the batch folded into another axis."""
        return values[: self.counted] if values.shape[0] == self.batch else values


class MomentSums:
    """Moments of one portion of what is wanted."""

    def __init__(
        self, specs: Mapping[str, LayerSpec], portion: Sequence[tuple[str, Source]]
    ) -> None:
        self._specs = specs
        self._sums: dict[tuple[str, Source], _Sum] = {}
        for name, source in portion:
            size = vector_size(specs[name], source)
            # In the order in which BLAS makes what is added.
            self._sums[name, source] = _Sum(np.zeros(size), np.zeros((size, size), order="F"))

    def names(self, source: Source) -> list[str]:
        """Layers whose outputs, or inputs, are wanted."""
        return [name for name, of in self._sums if of == source]

    def batch(self, size: int, counted: int) -> BatchRows:
        """An empty place for what layers see in a batch of `size` pictures."""
        return BatchRows(self._specs, size, counted)

    def add(self, seen: BatchRows) -> None:
        """Add all vectors of one batch."""
        for name, source, rows in seen.rows:
            self.add_rows(name, source, rows)

    def add_rows(self, name: str, source: Source, rows: NDArray[np.float32]) -> None:
        """Add vectors as rows (count, n), which nobody changes any more."""
        self._sums[name, source].add(rows)

    def moments(self) -> Gathered:
        """Return the moments of all that was added, and give the sums up one by one."""
        return {key: self._sums.pop(key).moments() for key in list(self._sums)}


def gather(
    layers: Iterable[LayerUse], wanted: Wanted, add_all: Callable[[MomentSums], None]
) -> Gathered:
    """Return the moments; `add_all` adds what all pictures give to one portion's sums. Raises
    `ModelError` for a layer that does not exist or has no spec."""
    specs = {use.name: use.spec for use in layers if use.spec}
    for name in wanted:
        if name not in specs:
            raise ModelError(f"the network has no layer {name!r} to take moments of")
    gathered: Gathered = {}
    for portion in portions(specs, wanted):
        sums = MomentSums(specs, portion)
        add_all(sums)
        gathered |= sums.moments()
    return gathered


def channel_axis(spec: LayerSpec) -> int:
    """Return which axis of a layer's output its channels are on."""
    return -1 if spec.op == "linear" else 1


def channel_rows(output: NDArray[Any], channel_axis: int) -> NDArray[np.float32]:
    """Return a copy as (positions, channels), at most `MAX_POSITIONS` per picture.

    `channel_axis` is 1 (pictures, channels, ...) or -1 (..., channels).
    """
    # Few positions are taken before the axes are turned: turning all of them costs more.
    if channel_axis == 1:
        pictures = output.reshape(*output.shape[:2], -1)
        chosen = positions(pictures.shape[2], MAX_POSITIONS["outputs"])
        taken = pictures[:, :, chosen].transpose(0, 2, 1)
    else:
        pictures = output.reshape(len(output), -1, output.shape[-1])
        taken = pictures[:, positions(pictures.shape[1], MAX_POSITIONS["outputs"])]
    return np.array(taken.reshape(-1, taken.shape[-1]), dtype=np.float32)
