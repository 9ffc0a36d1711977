"""Running an ONNX network to see its tensors (never to time it)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import onnxruntime
from numpy.typing import NDArray
from onnx import ModelProto, ValueInfoProto

from ..errors import ModelError, first_line
from ..inputs.examples import Given
from ..integrity.onnx_files import SILENT, fed
from .onnx_storage import session_of

CODE = re.compile(r"^\[ONNXRuntimeError\] : \d+ : \w+ : (/\S+:\d+ .*?\) (const )?)?")
"""Prefix of onnxruntime's error messages: a number, and maybe the place in its sources."""


class TensorSession:
    """Computes chosen tensors of a network, whether or not they are its outputs.

    May be called from several threads at once.
    """

    def __init__(self, model: ModelProto, names: Sequence[str]) -> None:
        """Raises `ModelError` if onnxruntime cannot run the model."""
        exposed = ModelProto()
        exposed.CopyFrom(model)
        known = {output.name for output in model.graph.output}
        wanted = [ValueInfoProto(name=name) for name in dict.fromkeys(names) if name not in known]
        exposed.graph.output.extend(wanted)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1  # the threads that call it are what runs side by side
        options.log_severity_level = SILENT
        self._names = list(names)
        try:
            self._session = session_of(exposed, options)
        except Exception as error:
            # onnxruntime's exceptions have no common root.
            reason = first_line(RuntimeError(CODE.sub("", str(error))))
            raise ModelError(f"onnxruntime cannot run this network: {reason}") from error

    def run(self, inputs: Given) -> list[NDArray[Any]]:
        """Return the tensors in their order. Raises `ModelError` if the inputs do not fit."""
        feed = fed(self._session, inputs)
        try:
            return list(self._session.run(self._names, feed))
        except Exception as error:
            shapes = ", ".join(str(array.shape) for array in feed.values())
            raise ModelError(
                f"the network does not run on an input of shape {shapes}: {first_line(error)}"
            ) from error
