"""Files whose batch is open, where the network allows it: tried at other batches, and compared."""

from __future__ import annotations

import tempfile
from functools import partial
from pathlib import Path

from torch import nn

from ..errors import ModelError
from ..inputs.examples import NetworkInputs
from ..integrity.checked_files import Checked, FileRun
from ..integrity.onnx_files import run_onnx
from ..integrity.torch_files import precision_of, run_pt2
from .convert import export_onnx, exported, write_pt2
from .network import Network
from .onnx_network import OnnxNetwork
from .onnx_storage import copy_model
from .torch_network import TorchNetwork
from .torch_outputs import all_answers

BATCHES = (3, 1)
"""Batches at which a file is tried; it is exported from another."""


def write_open(network: Network, path: Path) -> Path:
    """Write an `.onnx` or `.pt2` whose batch is open.

    Raises `ModelError`, with nothing written, where it does not answer as the network does at
    other batches.
    """
    return OPEN[path.suffix](_module(network), network.inputs, path)


def _module(network: Network) -> nn.Module:
    if isinstance(network, TorchNetwork):
        return network.module
    assert isinstance(network, OnnxNetwork)
    return network.to_torch().module


def _write_onnx(module: nn.Module, inputs: NetworkInputs, path: Path) -> Path:
    with tempfile.TemporaryDirectory(prefix="rankwise-") as folder:
        file = export_onnx(module, inputs, Path(folder) / path.name, open_batch=True)
        _check(module, inputs, file, run_onnx)
        return copy_model(file, path)


def _write_pt2(module: nn.Module, inputs: NetworkInputs, path: Path) -> Path:
    program = exported(module, inputs, open_batch=True)
    with tempfile.TemporaryDirectory(prefix="rankwise-") as folder:
        file = write_pt2(program, Path(folder) / path.name)
        _check(module, inputs, file, run_pt2(all_answers))
        return write_pt2(program, path)


OPEN = {".onnx": _write_onnx, ".pt2": _write_pt2}


def _check(module: nn.Module, inputs: NetworkInputs, file: Path, run: FileRun) -> None:
    """Raise `ModelError` unless the file answers as the module does at other batches."""
    answers, precision = partial(all_answers, module), precision_of(module)
    for batch in BATCHES:
        checked = Checked(answers, inputs.resized(batch), precision)
        answers(checked.inputs.noise(batch, seed=0))  # the network's own refusal, if it has one
        try:
            checked.check(file, run)
        except ModelError as error:
            raise ModelError(
                f"the exported file does not answer as the network does at a batch of {batch}"
            ) from error
