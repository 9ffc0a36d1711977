"""Running somebody's `torch.nn.Module` and leaving it as it was."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ..errors import MeasurementError
from .base import Arrays
from .limits import one_line


@contextmanager
def evaluating(module: torch.nn.Module) -> Iterator[None]:
    """Eval mode inside, and afterwards every part in the mode that it was in."""
    training = [part for part in module.modules() if part.training]
    for part in training:
        part.training = False
    try:
        yield
    finally:
        for part in training:
            part.training = True


def compute(module: torch.nn.Module, inputs: Sequence[NDArray[Any]]) -> Arrays:
    """The outputs of one execution in eval mode. Raises `MeasurementError` (stage `run`)."""
    tensors = [torch.from_numpy(np.ascontiguousarray(one)) for one in inputs]
    try:
        with evaluating(module), torch.inference_mode():
            output = module(*tensors)
    except Exception as error:  # a user's module may raise anything
        raise MeasurementError(f"torch failed: {one_line(error)}", "run") from error
    outputs = output if isinstance(output, tuple | list) else [output]
    if not all(isinstance(one, torch.Tensor) for one in outputs):
        raise MeasurementError("the module returns something else than tensors", "run")
    return [one.numpy() for one in outputs]
