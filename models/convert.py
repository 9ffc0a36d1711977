"""Torch modules written as ONNX and `.pt2`, without a word on the terminal."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import nn

from ..errors import ModelError, first_line
from .files import write_whole
from .onnx_storage import write_model

OPSET = 18


def export_onnx(module: nn.Module, input_shape: tuple[int, ...], path: Path) -> Path:
    """Write the module as an ONNX file whose batch is `input_shape[0]` (see
    `onnx_storage.write_model` for what is too large for one file).

    The exporter folds batch normalisation into the convolution before it. Raises
    `ModelError` if torch cannot trace the network or the file cannot be written.
    """

    with _refusing("ONNX"):
        return write_model(_program(module, input_shape).model_proto, path)


def _program(module: nn.Module, input_shape: tuple[int, ...]) -> torch.onnx.ONNXProgram:
    program = torch.onnx.export(
        module,
        (torch.zeros(input_shape),),
        input_names=["input"],
        opset_version=OPSET,
        dynamo=True,
        verbose=False,
    )
    assert program is not None
    return program


def export_pt2(module: nn.Module, input_shape: tuple[int, ...], path: Path) -> Path:
    """Write the module as a `torch.export` archive (rankwise writes these, and never reads)."""

    def write(target: Path) -> None:
        program = torch.export.export(module, (torch.zeros(input_shape),))
        torch.export.save(program, target)

    with _refusing("torch.export"):
        return write_whole(path, write)


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
