"""Torch modules written as ONNX and `.pt2`, without a word on the terminal."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import torch
from torch import nn

from ..errors import ModelError, first_line
from ..inputs.calls import InOrder, call_of
from ..inputs.examples import NetworkInputs, Takes, inputs_of
from .files import write_whole
from .torch_outputs import answer_of, named_tensors

OPSET = 18


def export_onnx(module: nn.Module, takes: Takes, path: Path) -> Path:
    """Write the module as one ONNX file with the batch and the names of its inputs.

    The exporter folds batch normalisation into the convolution before it. Raises
    `ModelError` if torch cannot trace the network or the file cannot be written.
    """

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
            opset_version=OPSET,
            dynamo=True,
            external_data=False,
            verbose=False,
        )

    return _export(path, write, "ONNX")


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


def _export(path: Path, write: Callable[[Path], None], what: str) -> Path:
    try:
        with _silence(), torch.no_grad():
            return write_whole(path, write)
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
