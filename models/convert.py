"""Torch modules written as ONNX and `.pt2`, without a word on the terminal."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
<<<<<<< HEAD
from collections.abc import Callable, Iterator
from functools import partial
=======
from collections.abc import Iterator
>>>>>>> loading
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import ModelError, first_line
from ..inputs.calls import InOrder, call_of
from ..inputs.examples import NetworkInputs, Takes, inputs_of
from .files import write_whole
<<<<<<< HEAD
from .torch_outputs import answer_of, named_tensors
=======
from .onnx_storage import write_model
>>>>>>> loading

OPSET = 18


<<<<<<< HEAD
def export_onnx(module: nn.Module, takes: Takes, path: Path) -> Path:
    """Write the module as one ONNX file with the batch and the names of its inputs.
=======
def export_onnx(
    module: nn.Module, input_shape: tuple[int, ...], path: Path, *, open_batch: bool = False
) -> Path:
    """Write the module as an ONNX file whose batch is `input_shape[0]`, or open (see
    `onnx_storage.write_model` for what is too large for one file).
>>>>>>> loading

    The exporter folds batch normalisation into the convolution before it. Raises
    `ModelError` if torch cannot trace the network or the file cannot be written.
    """
<<<<<<< HEAD

    inputs = inputs_of(takes)
    call, whole = call_of(inputs.example), in_order(module, inputs)
    names = None if whole is module else _output_names(module, inputs)

    def write(target: Path) -> None:
        torch.onnx.export(
            whole,
            call.tensors,
            target,
            input_names=inputs.names,
            output_names=names,
=======
    with _refusing("ONNX"):
        program = torch.onnx.export(
            module,
            _example(input_shape, open_batch),
            input_names=["input"],
>>>>>>> loading
            opset_version=OPSET,
            dynamo=True,
            dynamic_shapes=_open(open_batch),
            verbose=False,
        )
        assert program is not None
        return write_model(program.model_proto, path)


<<<<<<< HEAD
def in_order(module: nn.Module, inputs: NetworkInputs) -> nn.Module:
    """Return the module, or, where it takes its inputs otherwise than in order or changes them, one
    that takes them in order and answers a tuple of tensors."""
    if inputs.plain and not inputs.changed:
        return module
    return InOrder(module, inputs.form, partial(named_tensors, module)).eval()


def _output_names(module: nn.Module, inputs: NetworkInputs) -> list[str]:
    with torch.no_grad():
        return list(named_tensors(module, answer_of(module, inputs.example)))


def export_pt2(module: nn.Module, takes: Takes, path: Path) -> Path:
    """Write the module as a `torch.export` archive (rankwise reads none but to try what
    it has just written)."""

    def write(target: Path) -> None:
        args, kwargs = call_of(inputs_of(takes).example).arguments
        program = torch.export.export(module, args, kwargs)
        torch.export.save(program, target)

    return _export(path, write, "torch.export")
=======
def export_pt2(module: nn.Module, input_shape: tuple[int, ...], path: Path) -> Path:
    """Write the module as a `torch.export` archive (rankwise writes these, and never reads)."""
    return write_pt2(exported(module, input_shape), path)
>>>>>>> loading


def exported(
    module: nn.Module, input_shape: tuple[int, ...], *, open_batch: bool = False
) -> torch.export.ExportedProgram:
    """Trace the module. Raises `ModelError` if torch cannot."""
    with _refusing("torch.export"):
        example, shapes = _example(input_shape, open_batch), _open(open_batch)
        return torch.export.export(module, example, dynamic_shapes=shapes)


def write_pt2(program: torch.export.ExportedProgram, path: Path) -> Path:
    """Write what was traced. Raises `ModelError` if it cannot be written."""
    with _refusing("torch.export"):
        return write_whole(path, lambda target: torch.export.save(program, target))


def _example(input_shape: tuple[int, ...], open_batch: bool) -> tuple[Tensor]:
    """An input: torch takes a batch of one for a constant."""
    batch = max(2, input_shape[0]) if open_batch else input_shape[0]
    return (torch.zeros(batch, *input_shape[1:]),)


def _open(open_batch: bool) -> tuple[dict[int, Any]] | None:
    return ({0: torch.export.Dim("batch")},) if open_batch else None


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
