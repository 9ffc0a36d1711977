"""Chains in int8 on ONNX Runtime: what its optimiser makes of them, node by node."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory

import onnx
import onnxruntime as ort

from ..errors import MeasurementError
from ..ops.chain import Chain, random_weights
from ..ops.onnx_multiplications import FLOAT_NODES, INTEGER_NODES
from ..ops.quantized_writer import Boundary, quantized_model
from ..records import LayerSpec
from .base import ChainWorkload
from .integer_kernels import require_integers
from .onnxruntime_session import CPU, Place, make_session

TINY = ChainWorkload("tiny", Chain((LayerSpec("conv2d", 16, 16, (16, 4, 4), bias=False),)))


def quantized_session(
    workload: ChainWorkload, place: Place, threads: int, batch: int, dtype: str
) -> tuple[ort.InferenceSession, Boundary]:
    """Return the chain's session with activations of that dtype, and how it takes its arrays.

    The processor's integer convolutions have their channels last; between two of them ONNX Runtime
    turns nothing, so a chain takes and gives its arrays so. `MeasurementError` (stage `prepare`) if
    a multiplication is not computed as it should be.
    """
    chain = workload.chain
    model, boundary = quantized_model(
        chain,
        random_weights(chain),
        batch,
        dtype=dtype,
        channels_last=place.provider == CPU,
        floats=workload.floats,
    )
    with TemporaryDirectory(prefix="rankwise-") as folder:
        optimized = Path(folder, "optimized.onnx")
        session = make_session(model.SerializeToString(), place, threads, optimized)
        nodes = [node.op_type for node in onnx.load(optimized, load_external_data=False).graph.node]
    found = [(one, one in INTEGER_NODES) for one in nodes if one in INTEGER_NODES | FLOAT_NODES]
    require_integers("ONNX Runtime", found, len(chain.links), workload.floats)
    return session, boundary


@lru_cache
def activation_dtype(provider: str) -> str:
    """Return the type of activations that the provider multiplies with integer kernels: int8 where
    it has them for both (Arm), uint8 where only for that (x86), nothing where it has none."""
    for dtype in ("int8", "uint8"):
        try:
            quantized_session(TINY, Place(provider), 1, 1, dtype)
        except MeasurementError:
            continue
        return dtype
    return ""
