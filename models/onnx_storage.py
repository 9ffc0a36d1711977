"""Where an ONNX model's weights are kept: in its file, or in files beside it.

Protobuf writes no more than 2 GiB at once, and a check, a copy or a session writes the model. What
is larger is checked and run without its weights inside, and written with them in a file beside it.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import onnx
import onnxruntime
from onnx import ModelProto, TensorProto, external_data_helper, helper, numpy_helper

from ..errors import ModelError, first_line
from .files import write_whole

MAX_BYTES = 2**31 - 1
"""What protobuf can write at once."""
MIN_BYTES = 1024
"""Smaller tensors stay in the model's own file."""
ALIGNMENT = 4096
"""Where a tensor may begin in a file beside the model, so that it can be mapped into memory."""
FileCheck = Callable[[Path], None]
"""Raises `ModelError` for a file that should not get its name."""
DATA = ".data"
"""What the name of that file ends with, after the model's."""


def is_large(model: ModelProto) -> bool:
    """Whether protobuf cannot write the model at once. It cannot count so far, either."""
    weights = sum(tensor.ByteSize() for tensor in model.graph.initializer)
    return bool(weights > MAX_BYTES or model.ByteSize() > MAX_BYTES)


def load_external(model: ModelProto, path: Path, digest: Any) -> None:
    """Read the tensors that lie in files beside the model, into it and, in their order, into the
    digest.

    The model, and such a file, may be links, as in caches of downloads; the file itself has to
    lie below the folder of the model's name or of the model's file. Raises `ModelError`.
    """
    folders = (path.parent.resolve(), path.resolve().parent)
    for tensor in _tensors(model):
        if not external_data_helper.uses_external_data(tensor):
            continue
        try:
            file = _place(tensor, (path.parent, folders[1]), folders)
            _entry(tensor, "location").value = file.name
            external_data_helper.load_external_data_for_tensor(tensor, str(file.parent))
        except Exception as error:
            raise ModelError(
                f"the external data of {path} cannot be read: {first_line(error)}"
            ) from error
        tensor.data_location = TensorProto.DEFAULT
        del tensor.external_data[:]
        digest.update(tensor.raw_data)


def _place(tensor: TensorProto, named: Iterable[Path], allowed: Iterable[Path]) -> Path:
    """The file of a tensor, links followed."""
    location = Path(_entry(tensor, "location").value)
    for folder in named:
        file = (folder / location).resolve()
        if file.is_file() and any(file.is_relative_to(one) for one in allowed):
            return file
    raise ModelError(f"there is no file {location} beside it, where tensor {tensor.name!r} is")


def _entry(tensor: TensorProto, key: str) -> Any:
    return next(one for one in tensor.external_data if one.key == key)


def _tensors(part: Any) -> Iterator[TensorProto]:
    """All tensors inside a part of a model: first the graph's own weights."""
    if isinstance(part, TensorProto):
        yield part
        return
    graph = part.graph if isinstance(part, ModelProto) else part
    yield from getattr(graph, "initializer", ())
    functions = part.functions if isinstance(part, ModelProto) else ()
    for node in (*graph.node, *(node for one in functions for node in one.node)):
        for attribute in node.attribute:
            held = (attribute.t, attribute.g, *attribute.tensors, *attribute.graphs)
            for one in held:
                yield from _tensors(one)


def without_graph_body(model: ModelProto) -> ModelProto:
    """Return everything of the model but nodes and initializers, which may be large."""
    result = ModelProto()
    for field, value in model.ListFields():
        if field.name != "graph":
            _copy_field(result, field.name, value)
    for field, value in model.graph.ListFields():
        if field.name not in ("node", "initializer"):
            _copy_field(result.graph, field.name, value)
    return result


def _copy_field(target: object, name: str, value: object) -> None:
    field = getattr(target, name)
    if hasattr(field, "MergeFrom"):
        field.MergeFrom(value)
    else:
        setattr(target, name, value)


def without_weights(model: ModelProto) -> ModelProto:
    """Return the model with inputs in the place of its weights, which are not copied."""
    bare = without_graph_body(model)
    bare.graph.node.extend(model.graph.node)
    given = {value.name for value in bare.graph.input}
    bare.graph.input.extend(
        helper.make_tensor_value_info(tensor.name, tensor.data_type, tensor.dims)
        for tensor in model.graph.initializer
        if tensor.name not in given
    )
    return bare


def check_model(model: ModelProto) -> None:
    """Raise `onnx.checker.ValidationError` unless the model is valid."""
    onnx.checker.check_model(without_weights(model) if is_large(model) else model)


def sha256_of(model: ModelProto) -> str:
    """SHA-256 of a model that is in no file."""
    large = is_large(model)
    bare = without_weights(model) if large else model
    digest = hashlib.sha256(bare.SerializeToString(deterministic=True))
    for tensor in model.graph.initializer if large else ():
        digest.update(tensor.SerializeToString(deterministic=True))
    return digest.hexdigest()


def session_of(
    model: ModelProto, options: onnxruntime.SessionOptions
) -> onnxruntime.InferenceSession:
    """Return a session on the processor, whatever the model's size."""
    if is_large(model):
        values = {}
        for tensor in model.graph.initializer:
            array = numpy_helper.to_array(tensor)
            values[tensor.name] = onnxruntime.OrtValue.ortvalue_from_numpy_with_onnx_type(
                array, tensor.data_type
            )
        options.add_external_initializers(list(values), list(values.values()))
        model = _pointing(model, {name: [("location", "given")] for name in values})
    return onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )


def _pointing(model: ModelProto, places: dict[str, list[tuple[str, Any]]]) -> ModelProto:
    """The model with the named weights elsewhere: their entries say where."""
    result = without_graph_body(model)
    result.graph.node.extend(model.graph.node)
    for tensor in model.graph.initializer:
        if tensor.name not in places:
            result.graph.initializer.append(tensor)
            continue
        kept = result.graph.initializer.add(
            name=tensor.name,
            data_type=tensor.data_type,
            dims=tensor.dims,
            data_location=TensorProto.EXTERNAL,
        )
        for key, value in places[tensor.name]:
            kept.external_data.add(key=key, value=str(value))
    return result


def write_model(model: ModelProto, path: Path, check: FileCheck | None = None) -> Path:
    """Write the model as one file, or, where it is too large, with its weights in a file beside
    it, named like it with `.data` behind. All of it gets its name after `check` has passed, the
    weights first. Raises `ModelError` as `write_whole` does."""
    path = Path(path)
    large, data = is_large(model), path.name + DATA

    def write(target: Path) -> None:
        written = _with_weights_beside(model, target, data) if large else model
        onnx.save(written, target)
        if check is not None:
            check(target)
        if large:
            target.with_name(data).replace(path.with_name(data))

    return write_whole(path, write)


def _with_weights_beside(model: ModelProto, target: Path, name: str) -> ModelProto:
    """Write the weights into a file of that name beside `target`; return the model without."""
    places: dict[str, list[tuple[str, Any]]] = {}
    with target.with_name(name).open("wb") as file:
        for tensor in model.graph.initializer:
            if tensor.ByteSize() < MIN_BYTES:
                continue
            file.seek(-file.tell() % ALIGNMENT, 1)
            start = file.tell()
            length = file.write(_raw(tensor))
            places[tensor.name] = [("location", name), ("offset", start), ("length", length)]
    return _pointing(model, places)


def copy_model(file: Path, path: Path) -> Path:
    """Copy a file that `write_model` wrote, with its weights where they are beside it."""
    if not file.with_name(file.name + DATA).exists():
        return write_whole(path, lambda target: shutil.copyfile(file, target))
    return write_model(onnx.load(file), path)


def _raw(tensor: TensorProto) -> bytes:
    """The tensor's numbers as a file keeps them."""
    if not tensor.HasField("raw_data"):
        tensor = numpy_helper.from_array(numpy_helper.to_array(tensor))
    return bytes(tensor.raw_data)
