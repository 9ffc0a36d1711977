"""Inputs that the user describes: `--input NAME=SHAPE[:DTYPE]`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import ModelError
from ..ops.made_up import DTYPES
from .examples import MASK, AskedInput, NetworkInputs


def by_name(asked: Sequence[AskedInput], names: Sequence[str]) -> dict[str, AskedInput]:
    """Return what was asked for by name. Raises `ModelError` for names that are not there, or
    twice, and for types that no input may have."""
    found: dict[str, AskedInput] = {}
    for one in (AskedInput(*one) for one in asked):
        if one.name in found:
            raise ModelError(f"the input {one.name!r} is described twice")
        if names and one.name not in names:
            raise ModelError(f"the network has no input {one.name!r}; it has {', '.join(names)}")
        if one.dtype not in ("", *DTYPES):
            raise ModelError(
                f"an input of type {one.dtype} is not supported, only {', '.join(DTYPES)}"
            )
        found[one.name] = one
    return found


def array_for(asked: AskedInput) -> NDArray[Any]:
    """Return numbers to read a network with: ones for masks, true, and what has one number, as a
    scale; else zeros."""
    dtype = asked.dtype or "float32"
    single = not asked.shape or set(asked.shape) == {1}
    ones = MASK in asked.name.lower() or dtype == "bool" or single
    return np.full(asked.shape, int(ones), dtype)


def with_asked(inputs: NetworkInputs, asked: Sequence[AskedInput]) -> NetworkInputs:
    """Return a module's inputs with those that were asked for in the place of its own. Raises
    `ModelError` as `by_name`."""
    arrays = dict(zip(inputs.names, inputs.arrays, strict=True))
    for name, one in by_name(asked, inputs.names).items():
        dtype = one.dtype or arrays[name].dtype.name
        if (one.shape, dtype) != (arrays[name].shape, arrays[name].dtype.name):
            arrays[name] = array_for(AskedInput(name, one.shape, dtype))
    return NetworkInputs.of(arrays, inputs.form)


def check_shape(input_shape: Sequence[int] | None, batch: int | None) -> None:
    """Raise `ModelError` unless the shape has only positive numbers, and at least one."""
    numbers = [*(input_shape or ()), *([] if batch is None else [batch])]
    if any(n < 1 for n in numbers) or (input_shape is not None and not len(input_shape)):
        raise ModelError(
            f"an input shape has the batch first and only positive numbers, not "
            f"{','.join(map(str, numbers))}"
        )
