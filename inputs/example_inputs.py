"""What a torch module takes, from examples that its author or the user gives."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from torch import Tensor, nn

from ..errors import ModelError, first_line
from .asked_inputs import array_for, by_name, check_shape, with_asked
from .calls import inputs_for
from .examples import AskedInput, NetworkInputs


def said_by(text: str, module: nn.Module, maker: Any, home: Any) -> Any:
    """Return the `example_inputs` of the module, of the callable that made it, or of its home, or
    else their `input_shape`; None where none says anything. A function without arguments is
    called."""
    for name in ("example_inputs", "input_shape"):
        for one in (module, maker, home):
            found = getattr(one, name, None)
            if found is not None:
                return _made(text, name, found)
    return None


def _made(text: str, name: str, found: Any) -> Any:
    if not callable(found) or isinstance(found, Tensor):
        return found
    try:
        return found()
    except Exception as error:  # the user's code may raise anything
        raise ModelError(f"{name} of {text} failed: {first_line(error)}") from error


def torch_inputs(
    module: nn.Module,
    text: str,
    said: Any,
    input_shape: Sequence[int] | None = None,
    batch: int | None = None,
    asked: Sequence[AskedInput] = (),
) -> NetworkInputs:
    """Return what a module takes: what the user asks for, or else what its author has `said`.

    Raises `ModelError` where nobody says anything.
    """
    if input_shape is not None:
        inputs = NetworkInputs.picture(input_shape)
    elif said is not None:
        inputs = from_example(module, said)
    elif asked:
        arrays = {one.name: array_for(one) for one in by_name(asked, ()).values()}
        inputs = inputs_for(module, (), arrays)
    else:
        raise ModelError(
            f"say which input {text} takes, for instance --input-shape 1,3,224,224, or let its "
            "module have example_inputs"
        )
    if said is not None and asked:
        inputs = with_asked(inputs, asked)
    return inputs if batch in (None, inputs.batch) else inputs.resized(batch or 1)


def from_example(module: nn.Module, example: Any) -> NetworkInputs:
    """Return what a module takes from an example: a tensor, an array, or a shape; a tuple or list
    of what it is given in order; a dict of what it is given by keyword.

    Raises `ModelError` for anything else.
    """
    if isinstance(example, Mapping):
        return inputs_for(module, (), {str(name): one for name, one in example.items()})
    if _is_number(example) or (isinstance(example, (tuple, list)) and not example):
        raise ModelError("the example input must be a tensor, an array, or a tuple or dict of them")
    if not isinstance(example, (tuple, list)) or all(map(_is_number, example)):
        return _of_one(module, example)
    if len(example) == 1 and _is_shape(example[0]):
        return _of_one(module, example[0])
    return inputs_for(module, tuple(example), {})


def _of_one(module: nn.Module, example: Any) -> NetworkInputs:
    """Return the only input, like a tensor or an array, or of a shape."""
    if isinstance(example, (Tensor, np.ndarray)):
        return inputs_for(module, (example,), {})
    try:
        numbers = tuple(int(n) for n in getattr(example, "shape", example))
    except (TypeError, ValueError):
        raise ModelError(
            "the example input must be a tensor, an array, or a tuple or dict of them"
        ) from None
    check_shape(numbers, None)
    return NetworkInputs.picture(numbers)


def _is_shape(one: Any) -> bool:
    return isinstance(one, (tuple, list)) and bool(one) and all(map(_is_number, one))


def _is_number(one: Any) -> bool:
    return isinstance(one, (int, np.integer)) and not isinstance(one, bool)
