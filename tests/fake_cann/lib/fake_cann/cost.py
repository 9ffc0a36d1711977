"""Virtual seconds of one execution, from the ONNX graph. Rates are invented; rounding is not:
the cube unit works on 16 x 16 x 16, and with K = 32 on int8 (platform ini, `[DtypeMKN]`)."""

from __future__ import annotations

import math
from dataclasses import dataclass

from onnx import GraphProto, NodeProto, TensorProto

NODE_S, TILE_S, BYTES_PER_S = 2e-6, 2e-9, (64 << 10) / 1e-6
TILE = 16
CONVOLUTIONS = {"Conv", "ConvInteger", "QLinearConv", "ConvTranspose"}
PRODUCTS = {"Gemm", "MatMul", "MatMulInteger", "QLinearMatMul"}
INT8_OPS = {"ConvInteger", "QLinearConv", "MatMulInteger", "QLinearMatMul"}
FREE = {"Constant", "Identity", "Reshape", "Flatten", "Squeeze", "Unsqueeze"}
Shape = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Work:
    """One product on the cube unit: `groups` times M x K by K x N; `area` is the kernel's share
    of K, of which the channels' share is rounded up alone."""

    m: int
    n: int
    channels: int
    area: int
    groups: int
    is_int8: bool

    @property
    def macs(self) -> int:
        return self.m * self.n * self.channels * self.area * self.groups

    def tiles(self) -> int:
        k_tile = 2 * TILE if self.is_int8 else TILE
        k = math.ceil(self.channels / k_tile) * self.area
        return math.ceil(self.m / TILE) * math.ceil(self.n / TILE) * k * self.groups


class Graph:
    """Shapes and types by name, of a graph whose shapes were inferred."""

    def __init__(self, graph: GraphProto) -> None:
        self.nodes: list[NodeProto] = list(graph.node)
        self.shapes: dict[str, Shape] = {one.name: tuple(one.dims) for one in graph.initializer}
        self.types: dict[str, int] = {one.name: one.data_type for one in graph.initializer}
        for info in (*graph.input, *graph.value_info, *graph.output):
            tensor = info.type.tensor_type
            self.types[info.name] = tensor.elem_type
            self.shapes[info.name] = tuple(d.dim_value for d in tensor.shape.dim)
        self._makers = {name: node for node in graph.node for name in node.output}

    def work(self, node: NodeProto) -> Work | None:
        """None for what does not run on the cube unit, or has no known shape."""
        # the data operand and the weight stand elsewhere with their quantization between them
        first, second = (0, 3) if node.op_type.startswith("QLinear") else (0, 1)
        if node.op_type not in CONVOLUTIONS | PRODUCTS:
            return None
        names = node.input[first], node.input[second], node.output[0]
        data, weight, output = (self.shapes.get(name, ()) for name in names)
        if not data or not weight or not output:
            return None
        int8 = self._is_int8(node, names[:2])
        if node.op_type in PRODUCTS:
            transposed = _attribute(node, "transA", 0)
            k = data[0] if transposed else data[-1]
            m = math.prod(output[:-1])
            return Work(m, output[-1], k, 1, 1, int8)
        groups, area = _attribute(node, "group", 1), math.prod(weight[2:])
        if node.op_type == "ConvTranspose":
            pixels = data[0] * math.prod(data[2:])
            return Work(pixels, weight[1] * area, weight[0] // groups, 1, groups, int8)
        pixels = output[0] * math.prod(output[2:])
        return Work(pixels, weight[0] // groups, weight[1], area, groups, int8)

    def _is_int8(self, node: NodeProto, operands: tuple[str, ...]) -> bool:
        """By its kind, or because both operands come out of a DequantizeLinear."""
        makers = [self._makers.get(name) for name in operands]
        fused = all(one is not None and one.op_type == "DequantizeLinear" for one in makers)
        return node.op_type in INT8_OPS or fused

    def size_bytes(self, name: str) -> int:
        return math.prod(self.shapes.get(name, (0,))) * 2

    def is_wide(self, node: NodeProto) -> bool:
        return self.types.get(node.output[0]) == TensorProto.FLOAT


def _attribute(node: NodeProto, name: str, default: int) -> int:
    return next((one.i for one in node.attribute if one.name == name), default)


def device_seconds(graph: GraphProto, precision: str, cast_bytes: int) -> tuple[float, int]:
    """(seconds of one execution, MACs). `cast_bytes`: inputs and outputs that are compiled with
    a Cast or TransData, which are timed with the rest (G)."""
    known = Graph(graph)
    seconds, macs = cast_bytes / BYTES_PER_S, 0
    for node in known.nodes:
        if node.op_type in FREE:
            continue
        seconds += NODE_S
        work = known.work(node)
        if work is None:
            seconds += sum(known.size_bytes(name) for name in node.output) / BYTES_PER_S
            continue
        wide = precision == "float32" and not work.is_int8 and known.is_wide(node)
        seconds += work.tiles() * TILE_S * (4 if wide else 1)
        macs += work.macs
    return seconds, macs
