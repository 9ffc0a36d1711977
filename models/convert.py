"""Torch modules written as ONNX and `.pt2`, without a word on the terminal."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import ModelError, first_line
from .files import write_whole
from .onnx_storage import write_model

OPSET = 18


def export_onnx(
    module: nn.Module, input_shape: tuple[int, ...], path: Path, *, open_batch: bool = False
) -> Path:
    """Write the module as an ONNX file whose batch is `input_shape[0]`, or open (see
    `onnx_storage.write_model` for what is too large for one file).

    The exporter folds batch normalisation into the convolution before it. Raises
    `ModelError` if torch cannot trace the network or the file cannot be written.
    """
    with _refusing("ONNX"):
        program = torch.onnx.export(
            module,
            _example(input_shape, open_batch),
            input_names=["input"],
            opset_version=OPSET,
            dynamo=True,
            dynamic_shapes=_open(open_batch),
            verbose=False,
        )
        assert program is not None
        return write_model(program.model_proto, path)


def export_pt2(module: nn.Module, input_shape: tuple[int, ...], path: Path) -> Path:
    """Write the module as a `torch.export` archive (rankwise writes these, and never reads)."""
    return write_pt2(exported(module, input_shape), path)


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
