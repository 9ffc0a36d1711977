"""Files whose batch is open, where the network allows it: tried at other batches, and compared."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..errors import ModelError
from ..reporter import Reporter
from .convert import export_onnx, exported, write_pt2
from .network import Network
from .onnx_network import OnnxNetwork
from .onnx_storage import copy_model
from .torch_network import TorchNetwork
from .torch_outputs import answer_of, named_tensors

BATCHES = (3, 1)
"""Batches at which a file is tried; it is exported from another."""
ALIKE = 1e-3
"""Difference, as a share of the largest value, up to which answers are the same."""

Answer = Callable[[Tensor], Sequence[Any]]


def save_network(network: Network, path: Path, dynamic_batch: bool, reporter: Reporter) -> Path:
    """Write as `Network.save` does; with `dynamic_batch` an `.onnx` or `.pt2` that is exported
    from torch has an open batch, where it answers as the module does at other batches, too.

    Where not, it has the network's own batch, and the reporter hears why.
    """
    path = Path(path)
    write = OPEN.get(path.suffix)
    is_own = path.suffix == f".{network.framework}"  # a file that is rewritten keeps its batch
    if not dynamic_batch or write is None or is_own:
        return network.save(path)
    try:
        return write(_module(network), network.input_shape, path)
    except ModelError as error:
        reporter.message(
            f"{path.name} is written with a fixed batch of {network.input_shape[0]}: {error}"
        )
    return network.save(path)


def _module(network: Network) -> nn.Module:
    if isinstance(network, TorchNetwork):
        return network.module
    assert isinstance(network, OnnxNetwork)
    return network.to_torch().module


def _write_onnx(module: nn.Module, input_shape: tuple[int, ...], path: Path) -> Path:
    import onnxruntime

    with tempfile.TemporaryDirectory(prefix="rankwise-") as folder:
        file = export_onnx(module, input_shape, Path(folder) / path.name, open_batch=True)
        session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
        name = session.get_inputs()[0].name
        _check(module, input_shape, lambda given: session.run(None, {name: given.numpy()}))
        return copy_model(file, path)


def _write_pt2(module: nn.Module, input_shape: tuple[int, ...], path: Path) -> Path:
    program = exported(module, input_shape, open_batch=True)
    inside = program.module()
    _check(module, input_shape, lambda given: _values(inside, given))
    return write_pt2(program, path)


OPEN = {".onnx": _write_onnx, ".pt2": _write_pt2}


def _check(module: nn.Module, input_shape: tuple[int, ...], answer: Answer) -> None:
    """Raise `ModelError` unless the file answers as the module does at other batches."""
    rng = np.random.default_rng(0)
    for batch in BATCHES:
        shape = (batch, *input_shape[1:])
        given = torch.from_numpy(rng.standard_normal(shape, dtype=np.float32))
        wanted = _values(module, given)
        try:
            found = answer(given)
        except Exception as error:  # of the runtime
            raise ModelError(f"the exported file does not run at a batch of {batch}") from error
        alike = len(found) == len(wanted) and all(map(_alike, found, wanted))
        if not alike:
            raise ModelError(f"the exported file answers otherwise at a batch of {batch}")


def _values(module: nn.Module, given: Tensor) -> list[NDArray[Any]]:
    with torch.no_grad():
        tensors = named_tensors(module, answer_of(module, given))
    return [one.numpy() for one in tensors.values()]


def _alike(found: Any, wanted: NDArray[Any]) -> bool:
    one = np.asarray(found)
    if one.shape != wanted.shape or not np.issubdtype(wanted.dtype, np.floating):
        return bool(one.shape == wanted.shape)
    largest = np.abs(wanted).max(initial=0.0)
    return bool(np.allclose(one, wanted, rtol=0.0, atol=ALIKE * largest, equal_nan=True))
