"""Which products of a quantised network ONNX Runtime computes in integers."""

from __future__ import annotations

import tempfile
from pathlib import Path

import onnx
import onnxruntime
from onnx import ModelProto

from ..errors import ModelError, first_line
from ..integrity.onnx_files import SILENT
from ..ops.onnx_multiplications import FLOAT_NODES, INTEGER_NODES
from .products import is_product


def left_in_float(model: ModelProto) -> frozenset[str]:
    """Return the names of products that have int8 weights and are computed in float all the same,
    as ONNX Runtime's optimised graph says: it dequantises for them, and gains nothing.

    Raises `ModelError` where ONNX Runtime refuses the network.
    """
    optimised = _optimised(model)
    dequantised = {
        node.output[0] for node in model.graph.node if node.op_type == "DequantizeLinear"
    }
    meant = frozenset(
        node.name
        for node in model.graph.node
        if is_product(node) and dequantised.issuperset(node.input[:2])
    )
    return meant.intersection(
        node.name for node in optimised.graph.node if node.op_type in FLOAT_NODES
    )


def integer_products(model: ModelProto) -> int:
    """Return how many products ONNX Runtime computes in integers."""
    return sum(node.op_type in INTEGER_NODES for node in _optimised(model).graph.node)


def _optimised(model: ModelProto) -> ModelProto:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = SILENT
    level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    options.graph_optimization_level = level
    with tempfile.TemporaryDirectory(prefix="rankwise-") as folder:
        path = Path(folder) / "optimised.onnx"
        options.optimized_model_filepath = str(path)
        try:
            providers = ["CPUExecutionProvider"]
            onnxruntime.InferenceSession(model.SerializeToString(), options, providers=providers)
        except Exception as error:  # onnxruntime's exceptions have no common root
            raise ModelError(
                f"onnxruntime cannot run the int8 network: {first_line(error)}"
            ) from error
        return onnx.load(path)
