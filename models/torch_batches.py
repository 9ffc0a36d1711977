"""A torch module's outputs for many inputs, in batches it takes."""

from __future__ import annotations

import io
from contextlib import redirect_stderr

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from ..errors import ModelError
from .batching import outputs_of
from .torch_layers import run

FloatArray = NDArray[np.float32]


def outputs(module: nn.Module, inputs: FloatArray, batch: int) -> FloatArray:
    """Return the module's first output for all inputs, (n, ...), as `Network.outputs` does."""
    return outputs_of(lambda part: run(module, torch.from_numpy(part)).numpy(), inputs, batch)


def fitting_batch(module: nn.Module, input_shape: tuple[int, ...], wanted: int) -> int:
    """Return `wanted`, or the network's own batch where it takes no other."""
    try:
        with redirect_stderr(io.StringIO()):  # torch.fx writes a traceback before it raises
            outputs = run(module, torch.zeros(wanted, *input_shape[1:]))
    except ModelError:
        return input_shape[0]
    return wanted if outputs.shape[:1] == (wanted,) else input_shape[0]
