"""Workloads as ONNX models in the dtype that is measured."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from ..errors import MeasurementError
from ..ops.chain import Chain, random_weights
from ..ops.onnx_writer import chain_model
from ..records import LayerSpec
from .network_file import read_network
from .validation import one_line

if TYPE_CHECKING:
    from onnx import ModelProto


def chain_in(chain: Chain, dtype: str, batch: int) -> ModelProto:
    """The chain with random weights; weights, input and output are of this dtype."""
    cast = Chain(tuple(replace(link, dtype=dtype) for link in chain.links))
    return chain_model(cast, random_weights(cast), batch)


def network_in(path: Path, dtype: str) -> bytes | str:
    """The file itself in float32, and in int8, for which it was quantised before; in float16 a
    converted model, inputs and outputs included.

    `MeasurementError` (stage `convert`) if the conversion fails.
    """
    if dtype in ("float32", "int8"):
        return str(path)
    from onnxruntime.transformers.float16 import convert_float_to_float16

    model = read_network(path)
    try:
        converted = convert_float_to_float16(model, keep_io_types=False)
        return bytes(converted.SerializeToString())
    except Exception as error:  # of whatever the converter did not expect
        reason = f"{path.name} cannot be converted to {dtype}: {one_line(error)}"
        raise MeasurementError(reason, "convert") from error


@lru_cache
def cpu_casts_float16() -> bool:
    """Does ONNX Runtime's CPU provider compute a float16 convolution in float32, between two
    casts that it puts in by itself? It does where it has no float16 kernels (x86)."""
    import onnx
    import onnxruntime as ort

    chain = Chain((LayerSpec("conv2d", 16, 16, (16, 4, 4), bias=False),))
    with TemporaryDirectory(prefix="rankwise-") as folder:
        options = ort.SessionOptions()
        options.optimized_model_filepath = str(Path(folder, "optimized.onnx"))
        options.log_severity_level = 4
        model = chain_in(chain, "float16", 1).SerializeToString()
        ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        optimized = onnx.load(options.optimized_model_filepath)
    return any(node.op_type == "Cast" for node in optimized.graph.node)
