"""Every operator that is converted, held against onnxruntime."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from onnx_models import CONV, IMAGE, assert_same, floats, ints, model_of, one

from rankwise.models.onnx_to_torch.conversion import OPERATORS

CASES: dict[str, tuple[onnx.ModelProto, dict[str, Any]]] = {
    **{op: (one(op), {}) for op in (
        *("Relu", "LeakyRelu", "Elu", "Sigmoid", "HardSigmoid", "HardSwish", "Tanh", "Softplus"),
        *("Erf", "Exp", "Abs", "Neg", "Floor", "Ceil", "Identity", "Softmax", "LogSoftmax"),
        *("GlobalAveragePool", "GlobalMaxPool", "Flatten", "Dropout"),
        *("ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin", "ReduceL2"),
    )},
    **{op: (one(op), {"positive": True}) for op in ("Log", "Sqrt", "Reciprocal")},
    "Gelu": (one("Gelu", opset=20), {}),
    "Gelu tanh": (one("Gelu", opset=20, approximate="tanh"), {}),
    "Conv": (one("Conv", CONV, pads=[1] * 4), {}),
    "Conv uneven": (one("Conv", CONV, pads=[0, 1, 2, 0], strides=[2, 1]), {}),
    "Conv same": (one("Conv", CONV, auto_pad="SAME_UPPER", strides=[2, 2]), {}),
    "Conv lower": (one("Conv", CONV, auto_pad="SAME_LOWER", strides=[2, 2]), {}),
    "Conv dilated": (one("Conv", CONV, dilations=[2, 2], pads=[2] * 4), {}),
    "Conv groups": (one("Conv", {"w": floats(8, 2, 3, 3)}, group=2), {}),
    "ConvTranspose": (
        one("ConvTranspose", {"w": floats(4, 3, 3, 3)}, strides=[2, 2], output_padding=[1, 1]),
        {},
    ),
    "ConvTranspose groups": (one("ConvTranspose", {"w": floats(4, 3, 2, 2)}, group=2), {}),
    "BatchNormalization": (
        one("BatchNormalization",
            {"s": floats(4), "b": floats(4), "m": floats(4), "v": np.abs(floats(4)) + 1}),
        {},
    ),
    "InstanceNormalization": (one("InstanceNormalization", {"s": floats(4), "b": floats(4)}), {}),
    "LayerNormalization": (one("LayerNormalization", {"s": floats(8), "b": floats(8)}), {}),
    "MaxPool": (one("MaxPool", kernel_shape=[3, 3], strides=[2, 2], pads=[1] * 4), {}),
    "MaxPool uneven": (one("MaxPool", kernel_shape=[3, 3], strides=[2, 2], pads=[0, 0, 1, 1]), {}),
    "MaxPool ceil": (one("MaxPool", kernel_shape=[3, 3], strides=[2, 2], ceil_mode=1), {}),
    "MaxPool same": (
        one("MaxPool", kernel_shape=[3, 3], strides=[2, 2], auto_pad="SAME_UPPER"),
        {},
    ),
    "AveragePool": (one("AveragePool", kernel_shape=[3, 3], pads=[1] * 4), {}),
    "AveragePool counted": (
        one("AveragePool", kernel_shape=[3, 3], pads=[1] * 4, count_include_pad=1),
        {},
    ),
    "AveragePool uneven": (one("AveragePool", kernel_shape=[3, 3], pads=[0, 1, 1, 0]), {}),
    "AveragePool uneven counted": (
        one("AveragePool", kernel_shape=[3, 3], pads=[0, 1, 1, 0], count_include_pad=1),
        {},
    ),
    "AveragePool same": (
        one("AveragePool", kernel_shape=[3, 3], strides=[2, 2], auto_pad="SAME_UPPER"),
        {},
    ),
    "PRelu": (one("PRelu", {"s": floats(4, 1, 1)}), {}),
    "Clip": (one("Clip", {"lo": np.float32(-0.5), "hi": np.float32(0.7)}), {}),
    "Clip 6": (one("Clip", opset=9, min=0.0, max=6.0), {}),
    "Clip one side": (one("Clip", {"lo": np.float32(-0.5)}), {}),
    "Add": (one("Add", {"c": floats(4, 1, 1)}), {}),
    "Sub": (one("Sub", {"c": np.float32(2.5)}), {}),
    "Mul": (one("Mul", {"c": floats(1)}), {}),
    "Div": (one("Div", {"c": floats(8)}), {}),
    "Pow": (one("Pow", {"c": np.float32(2)}), {}),
    "Sum": (model_of([("Sum", ["x", "x", "c"], ["y"], {})], {"c": floats(8)}), {}),
    "Mean": (model_of([("Mean", ["x", "c", "c"], ["y"], {})], {"c": floats(8)}), {}),
    "Max": (one("Max", {"c": floats(8)}), {}),
    "Min": (one("Min", {"c": floats(8)}), {}),
    "Where": (
        model_of([("Where", ["k", "x", "c"], ["y"], {})],
                 {"k": np.array([True, False] * 4), "c": floats(8)}),
        {},
    ),
    "LRN": (one("LRN", size=3, alpha=0.01, beta=0.7, bias=1.5), {}),
    "Cast": (
        model_of([("Cast", ["x"], ["i"], {"to": 7}), ("Cast", ["i"], ["y"], {"to": 1})], {}),
        {},
    ),
    "Softmax old": (one("Softmax", opset=11), {}),
    "Softmax axis": (one("Softmax", axis=1), {}),
    "Flatten 2": (one("Flatten", axis=2), {}),
    "Reshape": (one("Reshape", {"s": ints(0, 2, -1)}), {}),
    "Transpose": (one("Transpose", perm=[0, 2, 3, 1]), {}),
    "Squeeze": (
        model_of([("Unsqueeze", ["x", "a"], ["u"], {}), ("Squeeze", ["u", "b"], ["y"], {})],
                 {"a": ints(0, -1), "b": ints(0)}),
        {},
    ),
    "Unsqueeze old": (one("Unsqueeze", opset=11, axes=[1, 3]), {}),
    "Concat": (model_of([("Concat", ["x", "x"], ["y"], {"axis": 2})], {}), {}),
    "Split": (
        model_of([("Split", ["x", "s"], ["y", "z"], {"axis": 1})], {"s": ints(1, 3)},
                 outputs=("y", "z")),
        {},
    ),
    "Split evenly": (
        model_of([("Split", ["x"], ["a", "b"], {"axis": 3}), ("Mul", ["a", "b"], ["y"], {})], {}),
        {},
    ),
    "Slice": (
        one("Slice", {"s": ints(1, -3), "e": ints(2**62, -1), "a": ints(1, 3), "t": ints(2, 1)}),
        {},
    ),
    "Slice old": (one("Slice", opset=9, starts=[1], ends=[3], axes=[2]), {}),
    "Gather": (one("Gather", {"i": ints(2, -1, 0)}, axis=3), {}),
    "Gather one": (one("Gather", {"i": np.array(-1, np.int64)}, axis=2), {}),
    "Pad": (one("Pad", {"p": ints(0, 1, 2, 0, 0, 0, 1, 3), "v": np.float32(0.5)}), {}),
    "Pad reflect": (one("Pad", {"p": ints(0, 0, 2, 1, 0, 0, 1, 3)}, mode="reflect"), {}),
    "Pad edge": (one("Pad", {"p": ints(0, 0, 2, 1, 0, 0, 1, 3)}, mode="edge"), {}),
    "Expand": (
        model_of([("ReduceMean", ["x"], ["m"], {"axes": [3]}), ("Expand", ["m", "s"], ["y"], {})],
                 {"s": ints(1, 1, 1, 5)}),
        {},
    ),
    "DepthToSpace": (one("DepthToSpace", blocksize=2), {}),
    "DepthToSpace CRD": (one("DepthToSpace", blocksize=2, mode="CRD"), {}),
    "SpaceToDepth": (one("SpaceToDepth", blocksize=2), {}),
    "Resize": (
        model_of([("Resize", ["x", "", "s"], ["y"],
                   {"mode": "nearest", "coordinate_transformation_mode": "asymmetric",
                    "nearest_mode": "floor"})], {"s": np.array([1, 1, 2, 3], np.float32)}),
        {},
    ),
    "Resize half pixel": (
        model_of([("Resize", ["x", "", "s"], ["y"], {"mode": "nearest"})],
                 {"s": np.array([1, 1, 2, 2], np.float32)}),
        {},
    ),
    "Resize linear": (
        model_of([("Resize", ["x", "", "", "s"], ["y"], {"mode": "linear"})],
                 {"s": ints(2, 4, 9, 13)}),
        {},
    ),
    "Resize corners": (
        model_of([("Resize", ["x", "", "", "s"], ["y"],
                   {"mode": "linear", "coordinate_transformation_mode": "align_corners"})],
                 {"s": ints(2, 4, 9, 13)}),
        {},
    ),
    "Resize by what gives no whole size": (
        model_of([("Resize", ["x", "", "s"], ["y"], {"mode": "linear"})],
                 {"s": np.array([1, 1, 1.5, 0.7], np.float32)}),
        {},
    ),
    "Resize of opset 10": (
        one("Resize", {"s": np.array([1, 1, 2, 2], np.float32)}, opset=10), {}
    ),
    "Upsample": (one("Upsample", {"s": np.array([1, 1, 2, 2], np.float32)}, opset=9), {}),
    "MatMul": (one("MatMul", {"w": floats(8, 5)}), {}),
    "Einsum": (model_of([("Einsum", ["x", "x"], ["y"], {"equation": "nchw,nckw->nchk"})], {}), {}),
    "MatMul of two": (model_of([("Transpose", ["x"], ["t"], {"perm": [0, 1, 3, 2]}),
                                ("MatMul", ["x", "t"], ["y"], {})], {}), {}),
    "MatMul bias": (model_of([("MatMul", ["x", "w"], ["p"], {}), ("Add", ["b", "p"], ["y"], {})],
                             {"w": floats(8, 5), "b": floats(5)}), {}),
    "Gemm": (one("Gemm", {"w": floats(8, 5), "b": floats(1, 5)}), {"shape": (3, 8)}),
    "Gemm turned": (one("Gemm", {"w": floats(5, 8), "b": floats(5)}, transB=1), {"shape": (3, 8)}),
    "Gemm one bias": (
        one("Gemm", {"w": floats(5, 8), "b": floats(1)}, transB=1),
        {"shape": (3, 8)},
    ),
    "Gemm general": (
        one("Gemm", {"w": floats(3, 5), "b": floats(8, 5)}, transA=1, alpha=0.5, beta=2.0),
        {"shape": (3, 8)},
    ),
    "shape arithmetic": (
        model_of(
            [("Shape", ["x"], ["s"], {}), ("Gather", ["s", "i"], ["n"], {}),
             ("Unsqueeze", ["n", "zero"], ["n1"], {}),
             ("Concat", ["n1", "rest"], ["t"], {"axis": 0}), ("Reshape", ["x", "t"], ["y"], {})],
            {"i": np.array(0, np.int64), "zero": ints(0), "rest": ints(-1)},
        ),
        {},
    ),
}  # fmt: skip


def with_shape(model: onnx.ModelProto, shape: Sequence[int]) -> onnx.ModelProto:
    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, list(shape))
    model.graph.input[0].CopyFrom(value)
    return model


@pytest.mark.parametrize("case", CASES)
def test_an_operator_does_what_onnxruntime_does(case):
    model, how = CASES[case]
    shape = how.get("shape", IMAGE)
    assert_same(with_shape(model, shape), shape, how.get("positive", False))


def test_every_operator_has_a_case():
    seen = {node.op_type for model, _ in CASES.values() for node in model.graph.node}
    assert set(OPERATORS) <= seen
