"""Torch modules written as ONNX and `.pt2`, without a word on the terminal."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from ..errors import ModelError, first_line
from ..inputs.calls import InOrder, call_of
from ..inputs.examples import NetworkInputs, Takes, inputs_of
from .files import write_whole
from .onnx_storage import write_model
from .torch_outputs import answer_of, named_tensors

OPSET = 18


def export_onnx(module: nn.Module, takes: Takes, path: Path, *, open_batch: bool = False) -> Path:
    """Write the module as an ONNX file with the names of its inputs, and their batch or an open one
    (see `onnx_storage.write_model` for what is too large for one file).

    The exporter folds batch normalisation into the convolution before it. Raises
    `ModelError` if torch cannot trace the network or the file cannot be written.
    """
    inputs = _to_trace(inputs_of(takes), open_batch)
    call, whole = call_of(inputs.example), in_order(module, inputs)
    if whole is module and not _answers_tensors(module, inputs):
        whole = _in_order(module, inputs)
    names = None if whole is module else _output_names(module, inputs)
    with _refusing("ONNX"):
        program = torch.onnx.export(
            whole,
            call.tensors,
            input_names=inputs.names,
            output_names=names,
            opset_version=OPSET,
            dynamo=True,
            dynamic_shapes=_open(whole, call.tensors, {}, inputs.batch) if open_batch else None,
            verbose=False,
        )
        assert program is not None
        return write_model(program.model_proto, path)


def in_order(module: nn.Module, inputs: NetworkInputs) -> nn.Module:
    """Return the module, or, where it takes its inputs otherwise than in order or changes them, one
    that takes them in order and answers a tuple of tensors."""
    if inputs.plain and not inputs.changed:
        return module
    return _in_order(module, inputs)


def _in_order(module: nn.Module, inputs: NetworkInputs) -> nn.Module:
    return InOrder(module, inputs.form, partial(named_tensors, module)).eval()


def _answers_tensors(module: nn.Module, inputs: NetworkInputs) -> bool:
    """Whether there is nothing in the answer that torch cannot look into, such as a dataclass, and
    that is no tensor."""
    with torch.no_grad():
        answer = answer_of(module, inputs.example)
    return all(isinstance(one, Tensor) for one in pytree.tree_leaves(answer))


def _output_names(module: nn.Module, inputs: NetworkInputs) -> list[str]:
    with torch.no_grad():
        return list(named_tensors(module, answer_of(module, inputs.example)))


def export_pt2(module: nn.Module, takes: Takes, path: Path) -> Path:
    """Write the module as a `torch.export` archive (rankwise reads none but to try what it has just
    written)."""
    return write_pt2(exported(module, takes), path)


def exported(
    module: nn.Module, takes: Takes, *, open_batch: bool = False
) -> torch.export.ExportedProgram:
    """Trace the module. Raises `ModelError` if torch cannot."""
    inputs = _to_trace(inputs_of(takes), open_batch)
    with _refusing("torch.export"):
        args, kwargs = call_of(inputs.example).arguments
        shapes = _open(module, args, kwargs, inputs.batch) if open_batch else None
        return torch.export.export(module, args, kwargs, dynamic_shapes=shapes)


def write_pt2(program: torch.export.ExportedProgram, path: Path) -> Path:
    """Write what was traced. Raises `ModelError` if it cannot be written."""
    with _refusing("torch.export"):
        return write_whole(path, lambda target: torch.export.save(program, target))


def _to_trace(inputs: NetworkInputs, open_batch: bool) -> NetworkInputs:
    """Return what the module is traced with: torch takes a batch of one for a constant."""
    return inputs.resized(max(2, inputs.batch)) if open_batch else inputs


def _open(module: nn.Module, args: Any, kwargs: Any, batch: int) -> Any:
    """Return which axes of the arguments are open: the first of those that have the batch."""
    shapes: Any = torch.export.ShapesCollection()  # type: ignore[no-untyped-call]
    for tensor in pytree.tree_leaves((args, kwargs)):
        if isinstance(tensor, Tensor) and tensor.shape[:1] == (batch,):
            shapes[tensor] = {0: torch.export.Dim("batch")}
    return shapes.dynamic_shapes(module, args, kwargs)


@contextlib.contextmanager
def _refusing(what: str) -> Iterator[None]:
    """Export inside: in silence, and with one sentence where it fails."""
    try:
        with _silence(), torch.no_grad():
            yield
    except (ModelError, OSError):
        raise
    except Exception as error:
        # The exporter fails in many ways, each with an exception of its own.
        cause = error.__cause__ or error
        raise ModelError(f"{what} cannot express this network: {first_line(cause)}") from error


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """Hide what torch's exporter prints, warns and logs."""
    before = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        with (
            warnings.catch_warnings(),
            contextlib.redirect_stdout(io.StringIO()),
            contextlib.redirect_stderr(io.StringIO()),
        ):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)
