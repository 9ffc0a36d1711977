"""Running somebody's `torch.nn.Module` and leaving it as it was."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from ..errors import MeasurementError
from .base import Arrays
from .validation import one_line


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


def compute(
    module: torch.nn.Module,
    inputs: Sequence[NDArray[Any]],
    forward: Callable[..., Any] | None = None,
    placed: Callable[[torch.Tensor], torch.Tensor] = lambda tensor: tensor,
) -> Arrays:
    """The outputs of one execution in eval mode, halves as float32.

    `forward` is what is called instead of the module itself, `placed` brings an input to its
    device, dtype and layout. Raises `MeasurementError` (stage `run`).
    """
    try:
        tensors = [placed(torch.from_numpy(np.ascontiguousarray(one))) for one in inputs]
        with evaluating(module), torch.inference_mode():
            output = (forward or module)(*tensors)
            outputs = tensors_of(output)
            return [_array(one) for one in outputs]
    except MeasurementError:
        raise
    except Exception as error:  # a user's module may raise anything
        raise MeasurementError(f"torch failed: {one_line(error)}", "run") from error


def tensors_of(output: Any) -> list[torch.Tensor]:
    """Outputs in order. `MeasurementError` (stage `run`) if they are no tensors."""
    outputs = list(output) if isinstance(output, tuple | list) else [output]
    if not all(isinstance(one, torch.Tensor) for one in outputs):
        raise MeasurementError("the module returns something else than tensors", "run")
    return outputs


def _array(output: torch.Tensor) -> NDArray[Any]:
    if output.dtype in (torch.float16, torch.bfloat16):
        output = output.float()
    return np.asarray(output.cpu().numpy())
