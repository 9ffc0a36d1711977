"""What a compilation makes of an ONNX file: shapes fixed, weights rounded, time computed."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
from onnx import ModelProto, TensorProto, helper, numpy_helper, shape_inference

from .atc_flags import FP32, AtcError, Flags
from .codes import NCHW, ND
from .cost import device_seconds
from .om import Om, Tensor, rounded

OPSETS = range(11, 19)
OUTPUT_TYPES = {"FP32": "float32", "FP16": "float16", "UINT8": "uint8", "INT8": "int8"}


def convert(flags: Flags, version: str) -> Om:
    """Raises `AtcError`: E11xxx for a file that is no ONNX, E10011 and E10001 for shapes."""
    model = _load(flags.get("model"))
    _fix_inputs(model, flags.input_shape)
    model = _infer(model)
    _round_weights(model, flags.precision)
    inputs, outputs = _tensors(model, flags)
    cast = sum(one.size_bytes for one in (*inputs, *outputs) if one.dtype == "float32")
    if flags.precision == FP32:
        cast = 0
    seconds, macs = device_seconds(model.graph, flags.precision, cast)
    return Om(
        flags.get("soc_version"),
        version,
        flags.precision,
        seconds,
        macs,
        inputs,
        outputs,
        flags.given,
        model.SerializeToString(),
    )


def _load(path: str) -> ModelProto:
    try:
        model = onnx.load(path)
        onnx.checker.check_model(model)
    except Exception as error:  # protobuf's, onnx's, the system's
        reason = str(error).strip().splitlines()
        raise AtcError("E11001", f"[{path}] is no ONNX file: {reason[:1]}") from error
    for opset in model.opset_import:
        if opset.domain in ("", "ai.onnx") and opset.version not in OPSETS:
            raise AtcError("E11002", f"opset {opset.version} is not served: 11 to 18")
    return model


def _graph_inputs(model: ModelProto) -> list[onnx.ValueInfoProto]:
    constant = {one.name for one in model.graph.initializer}
    return [one for one in model.graph.input if one.name not in constant]


def _fix_inputs(model: ModelProto, shapes: dict[str, tuple[int, ...]]) -> None:
    inputs = {one.name: one for one in _graph_inputs(model)}
    for name in shapes:
        if name not in inputs:
            raise AtcError("E10011", f"[--input_shape] names {name}, the model {list(inputs)}.")
    for name, info in inputs.items():
        shape = info.type.tensor_type.shape
        static = [dim.dim_value for dim in shape.dim]
        wanted = list(shapes.get(name, static))
        fits = [have in (0, want) for have, want in zip(static, wanted, strict=False)]
        if len(wanted) != len(static) or not all(fits):
            raise AtcError(
                "E10001", f"[--input_shape] of {name} is {wanted}, the model's {static}."
            )
        if not all(wanted):
            raise AtcError("E10001", f"{name} has dynamic dimensions; [--input_shape] is needed.")
        for dim, value in zip(shape.dim, wanted, strict=True):
            dim.dim_value = value


def _infer(model: ModelProto) -> ModelProto:
    # a batch that was dynamic may still be named so on outputs and inside
    del model.graph.value_info[:]
    for info in model.graph.output:
        for dim in info.type.tensor_type.shape.dim:
            if dim.dim_param:
                dim.ClearField("dim_param")
    try:
        return shape_inference.infer_shapes(model, strict_mode=True, data_prop=True)
    except Exception as error:
        raise AtcError("E11003", f"shapes do not fit: {str(error).splitlines()[:1]}") from error


def _round_weights(model: ModelProto, precision: str) -> None:
    if precision == FP32:
        return
    for one in model.graph.initializer:
        if one.data_type == TensorProto.FLOAT:
            array = rounded(numpy_helper.to_array(one), precision)
            one.CopyFrom(numpy_helper.from_array(array, one.name))


def _tensors(model: ModelProto, flags: Flags) -> tuple[tuple[Tensor, ...], tuple[Tensor, ...]]:
    """As the caller of the `.om` has to hand them over: `--input_fp16_nodes`, `--output_type`."""
    unknown = flags.input_fp16_nodes - {one.name for one in _graph_inputs(model)}
    if unknown:
        raise AtcError("E10001", f"[--input_fp16_nodes] names {sorted(unknown)}.")

    def input_type(info: onnx.ValueInfoProto) -> str:
        return "float16" if info.name in flags.input_fp16_nodes else _dtype(info)

    def output_type(info: onnx.ValueInfoProto) -> str:
        return OUTPUT_TYPES[flags.get("output_type")] if flags.get("output_type") else _dtype(info)

    return (
        tuple(_tensor(one, input_type) for one in _graph_inputs(model)),
        tuple(_tensor(one, output_type) for one in model.graph.output),
    )


def _tensor(info: onnx.ValueInfoProto, dtype: Callable[[onnx.ValueInfoProto], str]) -> Tensor:
    dims = tuple(dim.dim_value for dim in info.type.tensor_type.shape.dim)
    if not all(dims):
        raise AtcError("E11003", f"the shape of {info.name} is not known: {dims}")
    return Tensor(info.name, dims, dtype(info), NCHW if len(dims) == 4 else ND)


def _dtype(info: onnx.ValueInfoProto) -> str:
    dtype = helper.tensor_dtype_to_np_dtype(info.type.tensor_type.elem_type)
    return str(np.dtype(dtype))
