"""What a network takes: its inputs by name, one batch of them, and examples of them.

A network like those for pictures, with one float32 input, takes plain arrays (n, ...). All others
take `Examples`: an array an input, of which those with a batch have one row an example.
"""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ..errors import ModelError
from ..ops.made_up import DTYPES, INTEGERS, InputSpec, all_made_up

ONE = "input"
"""Name of the input of a torch module that takes one tensor like pictures."""
MASK = "mask"
"""What names of inputs have that say which of the others' numbers count."""

Arrays = tuple[NDArray[Any], ...]


class AskedInput(NamedTuple):
    """An input's name, the shape of one batch of it, and its type (empty: as it is)."""

    name: str
    shape: tuple[int, ...]
    dtype: str = ""


@dataclass(frozen=True, eq=False)
class NetworkInputs:
    """The inputs of a network in their order, and one batch of each that the network runs on.

    `form` says how a torch module is called with them (see `calls.CallForm`); without it they are
    given one after the other.
    """

    specs: tuple[InputSpec, ...]
    arrays: Arrays
    form: Any = None
    changed: bool = False
    """Whether a torch module changes them while it runs."""

    @classmethod
    def picture(cls, shape: Sequence[int]) -> NetworkInputs:
        """One float32 input of that shape, batch first."""
        return cls((InputSpec(ONE, tuple(shape)),), (np.zeros(tuple(shape), np.float32),))

    @classmethod
    def of(
        cls,
        arrays: Mapping[str, NDArray[Any]],
        form: Any = None,
        batched: Mapping[str, bool] | None = None,
    ) -> NetworkInputs:
        """Inputs like these arrays. Those have a batch whose first axis is as long as most first
        axes are, unless `batched` says which do. Raises `ModelError` where none has, or for a type
        that no input may have."""
        for name, array in arrays.items():
            if array.dtype.name not in DTYPES:
                raise ModelError(f"the input {name} is of type {array.dtype}, which is not known")
        batched = batched or _batched({name: array.shape for name, array in arrays.items()})
        if not any(batched.values()):
            raise ModelError("none of the network's inputs has a batch axis first")
        specs = tuple(_spec_of(name, one, batched[name]) for name, one in arrays.items())
        return cls(specs, tuple(arrays.values()), form)

    @cached_property
    def plain(self) -> bool:
        """Whether there is one input like pictures, which is given as it is."""
        return self.form is None and len(self.specs) == 1 and self.specs[0].plain

    @property
    def names(self) -> list[str]:
        return [spec.name for spec in self.specs]

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the first input that has a batch."""
        return next(spec.shape for spec in self.specs if spec.batched)

    @property
    def batch(self) -> int:
        return self.shape[0]

    @property
    def for_workload(self) -> tuple[tuple[int, ...], tuple[InputSpec, ...]]:
        """What a backend's workload says of them: the shape of a picture, or what each is like."""
        return self.shape, () if self.plain else self.specs

    @property
    def asked(self) -> list[AskedInput]:
        """What the user may ask for to get these; nothing for pictures."""
        return [] if self.plain else [AskedInput(s.name, s.shape, s.dtype) for s in self.specs]

    @property
    def numbers(self) -> int:
        """How many numbers one example has."""
        return sum(math.prod(spec.shape[1:]) for spec in self.specs if spec.batched)

    @property
    def example(self) -> Given:
        """The batch that the network is read with."""
        return self.arrays[0] if self.plain else Examples(self, self.arrays)

    def noise(self, count: int, seed: int) -> Given:
        """Return so many made-up examples: unit noise, integers in their ranges; masks and
        what has no batch are as in the example."""
        made = all_made_up(self.specs, count, seed)
        if self.plain:
            return made[0]
        kept = zip(self.specs, self.arrays, made, strict=True)
        return Examples(
            self,
            tuple(
                _repeated(spec, own, count) if _is_mask(spec) or not spec.batched else one
                for spec, own, one in kept
            ),
        )

    def resized(self, batch: int) -> NetworkInputs:
        """The same inputs with another batch."""
        specs = tuple(
            replace(spec, shape=(batch, *spec.shape[1:])) if spec.batched else spec
            for spec in self.specs
        )
        arrays = (
            _repeated(spec, one, batch) for spec, one in zip(self.specs, self.arrays, strict=True)
        )
        return replace(self, specs=specs, arrays=tuple(arrays))

    @property
    def in_float32(self) -> NetworkInputs:
        """The same inputs with those in half precision in float32, as weights are read."""
        if all(spec.dtype != "float16" for spec in self.specs):
            return self
        pairs = [
            (replace(spec, dtype="float32"), one.astype(np.float32))
            if spec.dtype == "float16"
            else (spec, one)
            for spec, one in self._pairs
        ]
        specs, arrays = zip(*pairs, strict=True)
        return replace(self, specs=specs, arrays=arrays)

    def limited(self, sizes: Mapping[str, int]) -> NetworkInputs:
        """The same inputs, of which some choose rows of tables of these sizes."""
        specs = tuple(
            replace(spec, table=sizes[spec.name], low=None, high=None)
            if spec.name in sizes and spec.dtype in INTEGERS
            else spec
            for spec in self.specs
        )
        return replace(self, specs=specs)

    def taken(self, given: Given | Mapping[str, NDArray[Any]]) -> Given:
        """Return what somebody gives as inputs in the form that the network takes: an array for
        one input, arrays by name for several. Raises `ModelError` for what does not fit."""
        if self.plain and not isinstance(given, Mapping):
            return given
        if isinstance(given, Examples):
            return given
        if not isinstance(given, Mapping):
            if len(self.specs) > 1:
                raise ModelError(f"give an array for each input: {', '.join(self.names)}")
            given = {self.names[0]: given}
        arrays = self.fitting(given)
        return arrays[0] if self.plain else Examples(self, arrays)

    def fitting(self, given: Mapping[str, NDArray[Any]]) -> Arrays:
        """Return the arrays in the inputs' order and types; those without a batch may be left
        out. Raises `ModelError` with one sentence for what does not fit."""
        if unknown := [name for name in given if name not in self.names]:
            raise ModelError(
                f"the network has no input {unknown[0]!r}; it has {', '.join(self.names)}"
            )
        arrays = tuple(
            _fitting(spec, given.get(spec.name), own)
            for spec, own in zip(self.specs, self.arrays, strict=True)
        )
        counts = {s.name: len(one) for s, one in zip(self.specs, arrays, strict=True) if s.batched}
        if len(set(counts.values())) > 1:
            said = ", ".join(f"{name} {count}" for name, count in counts.items())
            raise ModelError(f"the inputs have different numbers of examples: {said}")
        return arrays

    def to_json(self) -> list[object]:
        """Return all that made-up examples depend on."""
        fixed = [one.tobytes() for spec, one in self._pairs if not spec.batched or _is_mask(spec)]
        hashes = [hashlib.sha256(one).hexdigest() for one in fixed]
        return [[spec.to_json() for spec in self.specs], hashes]

    @property
    def _pairs(self) -> list[tuple[InputSpec, NDArray[Any]]]:
        return list(zip(self.specs, self.arrays, strict=True))


@dataclass(frozen=True, slots=True, eq=False)
class Examples:
    """Examples for a network that takes more than one plain array: an array for each of its
    inputs, in their order; all that have a batch are equally long."""

    inputs: NetworkInputs
    arrays: Arrays

    def __len__(self) -> int:
        pairs = zip(self.inputs.specs, self.arrays, strict=True)
        return next(len(array) for spec, array in pairs if spec.batched)

    def __getitem__(self, which: Any) -> Examples:
        """Return the examples at a slice, or at a list of places."""
        return self._each(lambda array: array[which])

    def repeated_to(self, count: int) -> Examples:
        """Return them with the last one repeated until there are so many."""
        return self._each(lambda array: _repeated_last(array, count))

    def _each(self, change: Any) -> Examples:
        pairs = zip(self.inputs.specs, self.arrays, strict=True)
        arrays = (change(array) if spec.batched else array for spec, array in pairs)
        return Examples(self.inputs, tuple(arrays))

    @property
    def by_name(self) -> dict[str, NDArray[Any]]:
        return dict(zip(self.inputs.names, self.arrays, strict=True))

    def hashes(self) -> list[str]:
        """Return a hash of the content of each example, with that of what all of them share."""
        pairs = list(zip(self.inputs.specs, self.arrays, strict=True))
        shared = hashlib.sha256()
        for spec, array in pairs:
            shared.update(f"{spec.name}|{spec.dtype}|{array.shape[spec.batched :]}\n".encode())
            shared.update(b"" if spec.batched else np.ascontiguousarray(array).tobytes())
        return [_row_hash(shared, pairs, row) for row in range(len(self))]


Given: TypeAlias = NDArray[Any] | Examples
"""Examples for a network: one array where it takes one plain input."""
Takes: TypeAlias = NetworkInputs | Sequence[int]
"""What a network takes, or the shape of its only plain input."""


def inputs_of(takes: Takes) -> NetworkInputs:
    """Return what a network takes."""
    return takes if isinstance(takes, NetworkInputs) else NetworkInputs.picture(takes)


def repeated_to(part: Given, count: int) -> Given:
    """Return examples with the last one repeated until there are so many."""
    return part.repeated_to(count) if isinstance(part, Examples) else _repeated_last(part, count)


def concatenated(parts: Sequence[Examples]) -> Examples:
    """Return examples of one network as one value; there is at least one part."""
    first = parts[0]
    columns = zip(first.inputs.specs, zip(*(one.arrays for one in parts), strict=True), strict=True)
    arrays = (np.concatenate(all_) if spec.batched else all_[0] for spec, all_ in columns)
    return Examples(first.inputs, tuple(arrays))


def _row_hash(shared: Any, pairs: Sequence[tuple[InputSpec, NDArray[Any]]], row: int) -> str:
    digest = shared.copy()
    for spec, array in pairs:
        if spec.batched:
            digest.update(np.ascontiguousarray(array[row]).tobytes())
    return str(digest.hexdigest())


def _repeated_last(array: NDArray[Any], count: int) -> NDArray[Any]:
    missing = count - len(array)
    return np.concatenate([array, np.repeat(array[-1:], missing, axis=0)]) if missing else array


def _repeated(spec: InputSpec, array: NDArray[Any], count: int) -> NDArray[Any]:
    """Return an input's own rows again and again, as many as there should be."""
    return array[np.arange(count) % len(array)] if spec.batched else array


def _batched(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, bool]:
    """Return which inputs have the batch first: the length that most first axes have."""
    lengths = Counter(shape[0] for shape in shapes.values() if shape)
    batch = lengths.most_common(1)[0][0] if lengths else None
    return {name: bool(shape) and shape[0] == batch for name, shape in shapes.items()}


def _is_mask(spec: InputSpec) -> bool:
    return spec.dtype == "bool" or MASK in spec.name.lower()


def _spec_of(name: str, array: NDArray[Any], batched: bool) -> InputSpec:
    """Return what an input is like, from one batch of it."""
    spec = InputSpec(name, array.shape, array.dtype.name, batched)
    least, most = (float(array.min()), float(array.max())) if array.size else (0.0, 0.0)
    if array.dtype.kind == "f" and (least < most or not (_is_mask(spec) or not batched)):
        return spec
    return replace(spec, low=least, high=most)


def _fitting(spec: InputSpec, array: Any, own: NDArray[Any]) -> NDArray[Any]:
    """Return an array for an input in its type. Raises `ModelError` for what does not fit."""
    if array is None:
        if spec.batched:
            raise ModelError(f"there is no array for the network's input {spec.name!r}")
        return own
    array = np.asarray(array)
    wanted, given = spec.shape[spec.batched :], array.shape[spec.batched :]
    if given != wanted or array.ndim != len(spec.shape):
        raise ModelError(
            f"the input {spec.name!r} has the shape {_axes(spec.batched, given)}, but the network "
            f"takes {_axes(spec.batched, wanted)}"
        )
    if not _goes_into(array, spec.dtype):
        raise ModelError(
            f"the input {spec.name!r} is of type {array.dtype}, but the network takes {spec.dtype}"
        )
    _check_numbers(spec, array)
    typed: NDArray[Any] = array.astype(spec.dtype, copy=False)
    return typed


def _axes(batched: bool, shape: tuple[int, ...]) -> str:
    return f"({', '.join([*(['n'] if batched else []), *map(str, shape)])})"


def _goes_into(array: NDArray[Any], dtype: str) -> bool:
    """Whether numbers mean the same in that type."""
    kinds = {"f": "fiu", "i": "iub", "u": "iub", "b": "biu"}[np.dtype(dtype).kind]
    whole = dtype != "bool" or not array.size or bool(((array == 0) | (array == 1)).all())
    return array.dtype.kind in kinds and whole


def _check_numbers(spec: InputSpec, array: NDArray[Any]) -> None:
    if array.dtype.kind == "f" and not (_is_mask(spec) or np.isfinite(array).all()):
        raise ModelError(f"the input {spec.name!r} holds numbers that are not finite")
    if spec.table and array.size and not 0 <= array.min() <= array.max() < spec.table:
        wrong = array.min() if array.min() < 0 else array.max()
        raise ModelError(
            f"the input {spec.name!r} holds {wrong}, but the network has {spec.table} rows to "
            "choose from (0 is the first)"
        )
