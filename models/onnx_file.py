"""ONNX files in: read, check, and bring into one form."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import ModelProto, NodeProto, TensorProto, numpy_helper

from ..errors import ModelError
from .network import first_line

MIN_IR = 4
"""From this version on, initializers need not be inputs, so that runtimes fold them."""


def read_model(path: Path) -> tuple[ModelProto, str]:
    """The model, normalised, and its SHA-256: the file's, or with external data of both.

    Raises `ModelError` with one sentence. External data is read only from below the model's
    folder (`onnx.load` refuses anything else).
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
    _load_external(model, path, digest)
    _check(model, path)
    return normalised(model), digest.hexdigest()


def _load_external(model: ModelProto, path: Path, digest: Any) -> None:
    external = [
        t for t in model.graph.initializer if onnx.external_data_helper.uses_external_data(t)
    ]
    try:
        onnx.external_data_helper.load_external_data_for_model(model, str(path.parent))
    except Exception as error:
        raise ModelError(
            f"the external data of {path} cannot be read: {first_line(error)}"
        ) from error
    for tensor in external:
        digest.update(tensor.raw_data)


def _check(model: ModelProto, path: Path) -> None:
    if not model.graph.node:
        raise ModelError(f"{path} is no ONNX file, or an empty one")
    try:
        onnx.checker.check_model(model)
    except Exception as error:
        raise ModelError(f"{path} is no valid ONNX model: {first_line(error)}") from error


def normalised(model: ModelProto) -> ModelProto:
    """The same network with its constants as initializers that nobody can override.

    The original and the compressed network are both written from this form, so a gain from
    tidying the file is never counted as a gain of a plan. Changes `model` and returns it.
    """
    if model.functions:
        import onnx.inliner

        model = onnx.inliner.inline_local_functions(model)
    graph = model.graph
    kept_as_nodes = {output.name for output in graph.output}
    constants = {tensor.name: tensor for tensor in graph.initializer}
    nodes = []
    for node in graph.node:
        tensor = _constant(node, constants)
        if tensor is None or node.output[0] in kept_as_nodes:
            nodes.append(node)
        else:
            constants[tensor.name] = tensor
    _replace(graph.node, nodes)
    _replace(graph.initializer, list(constants.values()))
    _replace(graph.input, [value for value in graph.input if value.name not in constants])
    model.ir_version = max(model.ir_version, MIN_IR)
    return model


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


def _constant(node: NodeProto, known: dict[str, TensorProto]) -> TensorProto | None:
    """The tensor that a `Constant`, or an `Identity` of a constant, stands for."""
    if node.domain not in ("", "ai.onnx"):
        return None
    tensor = None
    if node.op_type == "Constant":
        attribute = node.attribute[0]
        if attribute.name in VALUES:
            tensor = VALUES[attribute.name](onnx.helper.get_attribute_value(attribute))
    elif node.op_type == "Identity":
        tensor = known.get(node.input[0])
    if tensor is None:
        return None
    copy = TensorProto()
    copy.CopyFrom(tensor)
    copy.name = node.output[0]
    return copy
