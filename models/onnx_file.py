"""ONNX files: read, checked, and brought into one form."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import GraphProto, ModelProto, NodeProto, OperatorSetIdProto, TensorProto, numpy_helper
from onnx.reference import ReferenceEvaluator

from ..errors import ModelError, first_line
from .onnx_storage import check_model, is_large, load_external, without_weights

DOMAINS = ("", "ai.onnx")
MIN_IR = 4
"""From this version on, initializers need not be inputs, so that runtimes fold them."""


def read_model(path: Path) -> tuple[ModelProto, str]:
    """Return the model, normalised, and the SHA-256 of the file and its external data.

    Raises `ModelError` with one sentence.
    """
    path = Path(path)
    if path.is_dir():
        raise ModelError(f"{path} is a folder, not an .onnx file")
    if not path.is_file():
        raise ModelError(f"there is no file {path}")
    try:
        data = path.read_bytes()
        model = onnx.load(path, load_external_data=False)
    except Exception as error:
        # Protobuf's exceptions differ between its implementations.
        raise ModelError(f"{path} is no ONNX file, or only a part of one") from error
    digest = hashlib.sha256(data)
    load_external(model, path, digest)
    _check(model, path)
    return normalised(model), digest.hexdigest()


def _check(model: ModelProto, path: Path) -> None:
    if not model.graph.node:
        raise ModelError(f"{path} is no ONNX file, or an empty one")
    if model.ir_version > onnx.IR_VERSION:
        raise ModelError(
            f"{path} has IR version {model.ir_version}, and the onnx package here "
            f"({onnx.__version__}) knows versions up to {onnx.IR_VERSION}"
        )
    try:
        check_model(model)
    except Exception as error:
        raise ModelError(f"{path} is no valid ONNX model: {first_line(error)}") from error


def normalised(model: ModelProto) -> ModelProto:
    """Return the same network with its constants as initializers that nobody can override.

    The original and the compressed network are both written from this form, so a gain from
    tidying the file is never counted as a gain of a plan. Changes `model` and returns it.
    """
    model = _inlined(model)
    graph = model.graph
    name_once(graph)
    kept_as_nodes = {output.name for output in graph.output}
    constants = {tensor.name: tensor for tensor in graph.initializer}
    nodes = []
    for node in graph.node:
        tensor = None
        if not kept_as_nodes.intersection(node.output):
            tensor = _constant(node) or _folded(node, constants, model.opset_import)
        if tensor is None:
            nodes.append(node)
        else:
            tensor.name = node.output[0]
            constants[tensor.name] = tensor
    _replace(graph.node, nodes)
    used = used_names(nodes) | kept_as_nodes
    _replace(graph.initializer, [tensor for name, tensor in constants.items() if name in used])
    _replace(graph.input, [value for value in graph.input if value.name not in constants])
    model.ir_version = max(model.ir_version, MIN_IR)
    return model


def _inlined(model: ModelProto) -> ModelProto:
    """The model without functions of its own; they are replaced by what they stand for."""
    if not model.functions:
        return model
    import onnx.inliner

    if not is_large(model):
        return onnx.inliner.inline_local_functions(model)
    result = onnx.inliner.inline_local_functions(without_weights(model))
    result.graph.initializer.extend(model.graph.initializer)
    return result


def name_once(graph: GraphProto) -> None:
    """Take names from nodes that have another's, which runtimes refuse. Names are for people;
    nodes are connected by their tensors."""
    taken: set[str] = set()
    for node in graph.node:
        if node.name in taken:
            node.name = ""
        taken.add(node.name)
        for inner in subgraphs(node):
            name_once(inner)


def _replace(field: Any, values: list[Any]) -> None:
    copies = [type(value).FromString(value.SerializeToString()) for value in values]
    del field[:]
    field.extend(copies)


VALUES: dict[str, Callable[[Any], Any]] = {
    "value": lambda value: value,
    "value_float": lambda value: numpy_helper.from_array(np.array(value, np.float32)),
    "value_floats": lambda value: numpy_helper.from_array(np.array(value, np.float32)),
    "value_int": lambda value: numpy_helper.from_array(np.array(value, np.int64)),
    "value_ints": lambda value: numpy_helper.from_array(np.array(value, np.int64)),
}


def _constant(node: NodeProto) -> TensorProto | None:
    """Return what a `Constant` node holds; None for other nodes."""
    if node.op_type != "Constant" or node.domain not in DOMAINS:
        return None
    attribute = node.attribute[0]
    if attribute.name not in VALUES:
        return None
    tensor = TensorProto()
    tensor.CopyFrom(VALUES[attribute.name](onnx.helper.get_attribute_value(attribute)))
    return tensor


FOLDED = frozenset(
    {"Cast", "ConstantOfShape", "Identity", "Reshape", "Squeeze", "Transpose", "Unsqueeze"}
)
"""Operators that only rearrange constants. Weights are found through these."""


def _folded(
    node: NodeProto, constants: Mapping[str, TensorProto], opsets: Iterable[OperatorSetIdProto]
) -> TensorProto | None:
    """Return what the node makes of constants; None if it takes anything else, or does more."""
    if node.op_type not in FOLDED or node.domain not in DOMAINS:
        return None
    if not all(name in constants for name in node.input if name):
        return None
    operands = {name: numpy_helper.to_array(constants[name]) for name in node.input if name}
    value = evaluated(node, operands, opsets)
    return None if value is None else numpy_helper.from_array(np.ascontiguousarray(value))


def evaluated(
    node: NodeProto, operands: Mapping[str, NDArray[Any]], opsets: Iterable[OperatorSetIdProto]
) -> NDArray[Any] | None:
    """Return the only output of a node; None where the reference does not know the operator's
    version."""
    inputs = [onnx.ValueInfoProto(name=name) for name in operands]
    outputs = [onnx.ValueInfoProto(name=node.output[0])]
    try:
        graph = onnx.helper.make_graph([node], "one", inputs, outputs)
        model = onnx.helper.make_model(graph, opset_imports=list(opsets))
        (value,) = ReferenceEvaluator(model).run(None, dict(operands))
        return np.asarray(value)
    except Exception:  # of many kinds
        return None


def opset(model: ModelProto) -> int:
    """Return the version of ONNX's own operators that the model is written in."""
    return next((o.version for o in model.opset_import if o.domain in DOMAINS), 1)


def used_names(nodes: Iterable[NodeProto]) -> set[str]:
    """Return the names of all tensors that nodes read, inside loops and branches, too."""
    used: set[str] = set()
    for node in nodes:
        used.update(node.input)
        for graph in subgraphs(node):
            used |= used_names(graph.node) | {output.name for output in graph.output}
    return used


def every_graph(graph: GraphProto) -> Iterator[GraphProto]:
    """Yield the graph and those of its loops and branches."""
    yield graph
    for node in graph.node:
        for inner in subgraphs(node):
            yield from every_graph(inner)


def subgraphs(node: NodeProto) -> Iterator[GraphProto]:
    """Yield the graphs that a loop or branch holds."""
    for attribute in node.attribute:
        if attribute.HasField("g"):
            yield attribute.g
        yield from attribute.graphs
