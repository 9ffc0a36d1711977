"""What ONNX files answer, and weights of ONNX networks as `.safetensors`."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray
from onnx import ModelProto, numpy_helper

from ..errors import ModelError, first_line
from ..inputs.examples import Examples, Given
from .checked_files import Answers

SILENT = 4
"""onnxruntime's severity above which it writes nothing on the terminal."""


def run_onnx(file: Path | bytes, inputs: Given) -> Answers:
    """Return what ONNX Runtime makes of a file (or its content). Raises `ModelError`."""
    options = onnxruntime.SessionOptions()
    options.log_severity_level = SILENT
    what = file if isinstance(file, bytes) else str(file)
    try:
        session = onnxruntime.InferenceSession(what, options, providers=["CPUExecutionProvider"])
        names = [output.name for output in session.get_outputs()]
        answers = session.run(names, fed(session, inputs))
    except Exception as error:  # onnxruntime's exceptions have no common root
        raise ModelError(
            f"the file is not written: onnxruntime cannot run it: {first_line(error)}"
        ) from error
    return by_name(names, answers)


def by_name(names: Iterable[str], answers: Iterable[Any]) -> dict[str, NDArray[Any]]:
    """Return a file's answers by name; those of a sequence by their places in it, too (`q.0`), and
    nothing for an optional one that is empty."""
    found: dict[str, NDArray[Any]] = {}
    for name, one in zip(names, answers, strict=True):
        if isinstance(one, list):
            found |= by_name([f"{name}.{place}" for place in range(len(one))], one)
        elif one is not None:
            found[name] = np.asarray(one)
    return found


def fed(session: onnxruntime.InferenceSession, given: Given) -> dict[str, NDArray[Any]]:
    """Return the arrays by the names of the file's inputs, of which exporters leave those out that
    change nothing."""
    wanted = [one.name for one in session.get_inputs()]
    if not isinstance(given, Examples):
        return {wanted[0]: given.astype(np.float32, copy=False)}
    return {name: array for name, array in given.by_name.items() if name in wanted}


def write_weights(model: ModelProto, path: Path) -> None:
    """Write all initializers by their names."""
    from safetensors.numpy import save_file

    tensors = model.graph.initializer
    save_file({t.name: np.array(numpy_helper.to_array(t)) for t in tensors}, path)


def run_weights(model: ModelProto, path: Path, inputs: Given) -> Answers:
    """Return what the model answers with the weights of a file in the place of its own.

    Raises `ModelError` where the file does not hold all of them.
    """
    from safetensors.numpy import load_file

    state = load_file(path)
    if state.keys() != {tensor.name for tensor in model.graph.initializer}:
        raise ModelError(
            "the .safetensors file is not written: it does not hold the network's weights"
        )
    loaded = ModelProto.FromString(model.SerializeToString())
    for tensor in loaded.graph.initializer:
        tensor.CopyFrom(numpy_helper.from_array(state[tensor.name], tensor.name))
    return run_onnx(loaded.SerializeToString(), inputs)
