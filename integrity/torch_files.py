"""What torch networks write, run again: `.pt2` archives and states as `.safetensors`."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..errors import ModelError, first_line
from ..inputs.examples import Given
from .checked_files import PRECISION, Answers, FileRun

Answering = Callable[[nn.Module, Given], Answers]
"""Runs a module, and returns every tensor that it answers with."""


def as_array(tensor: Tensor) -> NDArray[Any]:
    """Return a tensor's numbers in the same type, or the next that numpy has."""
    value = tensor.detach()
    return (value.float() if value.dtype == torch.bfloat16 else value).numpy()


def precision_of(module: nn.Module) -> float:
    """Return the precision of the module's coarsest parameters and buffers, at least float32's."""
    state = [*module.parameters(), *module.buffers()]
    found = [torch.finfo(one.dtype).eps for one in state if one.is_floating_point()]
    return max([PRECISION, *found])


def run_pt2(answering: Answering) -> FileRun:
    """Return what runs a `.pt2` file that was written a moment ago; no other is ever read, because
    reading one can run code. Raises `ModelError` where it cannot be read back."""

    def run(path: Path, inputs: Given) -> Answers:
        try:
            module = torch.export.load(path).module()
        except Exception as error:  # of any kind
            raise ModelError(
                "the .pt2 file is not written: torch.export does not read back what it wrote: "
                f"{first_line(error)}"
            ) from error
        return answering(module, inputs)

    return run


def write_state(module: nn.Module, path: Path, metadata: Mapping[str, str]) -> None:
    """Write the module's state dict as `.safetensors`, with that metadata.

    Raises `ModelError` if it holds more than tensors, as that of torch's int8 modules does, or what
    a module gives as its extra state.
    """
    from safetensors.torch import save_file

    state = module.state_dict()
    for name, value in state.items():
        if not isinstance(value, Tensor) or value.is_quantized:
            what = "extra state" if name.endswith("_extra_state") else "int8 modules"
            raise ModelError(
                f"the network's state {name!r} is no plain tensor ({what}), which "
                ".safetensors cannot hold: use .pt2"
            )
    # Clones, because the format refuses tensors that share memory.
    plain = {name: value.contiguous().clone() for name, value in state.items()}
    save_file(plain, path, metadata={"format": "pt", **metadata})


def run_state(module: nn.Module, answering: Answering) -> FileRun:
    """Return what runs a copy of the module with the state of a file in the place of its own.

    Raises `ModelError` where the file does not hold the whole state.
    """

    def run(path: Path, inputs: Given) -> Answers:
        from safetensors.torch import load_file

        loaded = copy.deepcopy(module)
        try:
            loaded.load_state_dict(load_file(path), assign=True)
        except RuntimeError as error:
            raise ModelError(
                "the .safetensors file is not written: it does not hold the network's state: "
                f"{first_line(error)}"
            ) from error
        return answering(loaded, inputs)

    return run
