"""What an ONNX graph does beside answering: draws random numbers."""

from __future__ import annotations

import numpy as np
from onnx import ModelProto

from ..errors import ModelError
from ..inputs.examples import NetworkInputs
from ..integrity.onnx_files import by_name
from .idle_layers import RANDOM
from .onnx_session import TensorSession

DRAWING = RANDOM | {"Dropout"}
"""Operators that draw random numbers, some only where they are in training mode."""


def check_same_each_time(model: ModelProto, inputs: NetworkInputs) -> None:
    """Raise `ModelError` if the network answers otherwise each time that it runs."""
    drawing = sorted({node.op_type for node in model.graph.node} & DRAWING)
    if not drawing:
        return
    names = [output.name for output in model.graph.output]
    session = TensorSession(model, names)
    noise = inputs.noise(inputs.batch, seed=0)  # because dropout leaves zeros as they are
    first, second = (by_name(names, session.run(noise)) for _ in range(2))
    pairs = zip(first.values(), second.values(), strict=True)
    if any(not np.array_equal(a, b, equal_nan=a.dtype.kind == "f") for a, b in pairs):
        raise ModelError(
            "the network answers otherwise each time that it runs on the same input, because it "
            f"draws random numbers ({', '.join(drawing)}): export it in eval mode"
        )
