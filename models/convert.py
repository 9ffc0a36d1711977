"""Torch modules written as ONNX and `.pt2`, without a word on the terminal."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import torch
from torch import nn

from ..errors import ModelError, first_line
from .files import write_whole

OPSET = 18


def export_onnx(module: nn.Module, input_shape: tuple[int, ...], path: Path) -> Path:
    """Write the module as one ONNX file whose batch is `input_shape[0]`.

    The exporter folds batch normalisation into the convolution before it. Raises
    `ModelError` if torch cannot trace the network or the file cannot be written.
    """

    def write(target: Path) -> None:
        torch.onnx.export(
            module,
            (torch.zeros(input_shape),),
            target,
            input_names=["input"],
            opset_version=OPSET,
            dynamo=True,
            external_data=False,
            verbose=False,
        )

    return _export(path, write, "ONNX")


def export_pt2(module: nn.Module, input_shape: tuple[int, ...], path: Path) -> Path:
    """Write the module as a `torch.export` archive (rankwise reads none but to try
    what it has just written)."""

    def write(target: Path) -> None:
        program = torch.export.export(module, (torch.zeros(input_shape),))
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
