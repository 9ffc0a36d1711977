"""What an ONNX graph takes: its inputs made from their types and shapes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType

import numpy as np
from google.protobuf.message import DecodeError
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto, ValueInfoProto, helper, load

from ..errors import ModelError
from ..ops.made_up import DTYPES, InputSpec
from .asked_inputs import array_for, by_name
from .examples import AskedInput, NetworkInputs

UNCHANGED = frozenset({"Cast", "Identity", "Reshape", "Flatten", "Squeeze", "Unsqueeze"})
"""Operators whose result has the numbers of their first input."""

Fixed = list[int | None]
"""Sizes of an input's axes; None for one that is open."""


def picture_shape(path: Path) -> tuple[int, ...] | None:
    """Return one example's shape of a file's only input, without reading weights that lie beside
    it; None where a size is open, or the file cannot be read, which is said later."""
    try:
        graph = load(path, load_external_data=False).graph
    except (OSError, ValueError, DecodeError):
        return None
    weights = {tensor.name for tensor in graph.initializer}
    values = [value for value in graph.input if value.name not in weights]
    sizes = _sizes(values[0]) if len(values) == 1 else []
    known = [size for size in sizes[1:] if size is not None]
    return tuple(known) if len(known) == len(sizes) - 1 else None


def inputs_of_graph(
    model: ModelProto,
    input_shape: Sequence[int] | None = None,
    batch: int | None = None,
    asked: Sequence[AskedInput] = (),
) -> NetworkInputs:
    """Return the inputs of a normalised model: the file's sizes, and where it leaves them open
    those that were asked for; an open first axis is a batch of 1 unless told otherwise.

    Raises `ModelError` where a size is open that nobody says, or another one is said.
    """
    values = list(model.graph.input)
    if not values:
        raise ModelError("the network has no input")
    if input_shape is not None:
        if len(values) > 1:
            names = ", ".join(value.name for value in values)
            raise ModelError(
                f"the network has {len(values)} inputs ({names}): say their sizes one by one, for "
                f"instance --input {values[0].name}={','.join(map(str, input_shape))}"
            )
        asked = [AskedInput(values[0].name, tuple(input_shape), "")]
    wanted = by_name(asked, [value.name for value in values])
    said = _said(values, wanted)
    arrays = {
        value.name: _array(value, wanted.get(value.name), said, len(values) == 1)
        for value in values
    }
    batched = _batched(values)
    made = NetworkInputs.of(arrays, batched=batched)
    if batch is not None and batch != made.batch:
        made = made.resized(batch)
        for value, spec in zip(values, made.specs, strict=True):
            _check_fits(spec.shape, _sizes(value))
    return _plain(made).limited(_tables(model))


def _plain(made: NetworkInputs) -> NetworkInputs:
    """Return one input like pictures without values of its own, whatever its name."""
    if len(made.specs) > 1 or made.specs[0].dtype != "float32":
        return made
    spec = InputSpec(made.specs[0].name, made.specs[0].shape)
    return NetworkInputs((spec,), (np.zeros(spec.shape, np.float32),))


def _said(values: Iterable[ValueInfoProto], wanted: Mapping[str, AskedInput]) -> Mapping[str, int]:
    """Return the sizes of open axes by the names that the file has for them, where somebody says
    the size of one of that name."""
    pairs = ((value, wanted[value.name]) for value in values if value.name in wanted)
    return {
        dim.dim_param: size
        for value, asked in pairs
        for dim, size in zip(value.type.tensor_type.shape.dim, asked.shape, strict=False)
        if dim.dim_param
    }


def _array(
    value: ValueInfoProto, asked: AskedInput | None, said: Mapping[str, int], alone: bool
) -> NDArray[np.generic]:
    tensor, name = value.type.tensor_type, value.name
    dtype = _dtype(value)
    if asked and asked.dtype not in ("", dtype):
        raise ModelError(f"the network's input {name!r} is of type {dtype}, not {asked.dtype}")
    flag = "--input-shape " if alone else f"--input {name}="
    known = tensor.HasField("shape")
    shape = asked.shape if asked else _defaults(name, flag, _sizes(value, said), known)
    if known:
        _check_fits(shape, _sizes(value))
    return array_for(AskedInput(name, tuple(shape), dtype))


def _dtype(value: ValueInfoProto) -> str:
    element = value.type.tensor_type.elem_type
    if not value.type.HasField("tensor_type"):
        raise ModelError(f"the network's input {value.name!r} is no tensor, which is not supported")
    known = TensorProto.DataType.Name(element).lower()
    if element in (TensorProto.UNDEFINED, TensorProto.STRING, TensorProto.BFLOAT16):
        raise ModelError(
            f"the network's input {value.name!r} is of type {known}; "
            f"supported are {', '.join(DTYPES)}"
        )
    name = helper.tensor_dtype_to_np_dtype(element).name
    if name not in DTYPES:
        raise ModelError(
            f"the network's input {value.name!r} is of type {name}; supported are "
            f"{', '.join(DTYPES)}"
        )
    return str(name)


def _sizes(value: ValueInfoProto, said: Mapping[str, int] = MappingProxyType({})) -> Fixed:
    """Return the sizes that the file says, or that were `said` for axes of its names."""
    dims = value.type.tensor_type.shape.dim
    return [dim.dim_value if dim.dim_value > 0 else said.get(dim.dim_param) for dim in dims]


def _defaults(name: str, flag: str, sizes: Fixed, known: bool) -> list[int]:
    """Return the file's own shape, with 1 for an open batch."""
    shape = [1 if axis == 0 and size is None else size for axis, size in enumerate(sizes)]
    if not known or None in shape:
        said = ",".join("?" if size is None else str(size) for size in sizes) or "unknown"
        raise ModelError(
            f"the file leaves the size of its input {name!r} open ({said}): say it, for instance "
            f"{flag}{example_of(sizes)}"
        )
    return [size for size in shape if size is not None]


def example_of(sizes: Fixed) -> str:
    """Return how somebody may write the shape of an input with such sizes."""
    usual = [1, 3, 224, 224] if len(sizes) in (0, 4) else [1, *[16] * (len(sizes) - 1)]
    sizes = sizes or [None] * 4
    return ",".join(str(size or one) for size, one in zip(sizes, usual, strict=True))


def _check_fits(shape: Sequence[int], sizes: Fixed) -> None:
    fits = len(shape) == len(sizes) and all(
        want is None or want == size for size, want in zip(shape, sizes, strict=True)
    )
    if not fits:
        wanted = ",".join("?" if size is None else str(size) for size in sizes)
        raise ModelError(
            f"the network takes an input of shape {wanted}, not {','.join(map(str, shape))}"
        )


def _batched(values: Iterable[ValueInfoProto]) -> dict[str, bool] | None:
    """Return which inputs have an open axis first, those of one name together; None where the
    file fixes all."""
    first = {value.name: (value.type.tensor_type.shape.dim or [None])[0] for value in values}
    opened = {n: dim.dim_param for n, dim in first.items() if dim is not None and not dim.dim_value}
    if not opened:
        return None
    symbol = next(iter(opened.values()))
    return {name: opened.get(name) == symbol for name in first}


def _tables(model: ModelProto) -> dict[str, int]:
    """Return the rows of the tables that inputs choose from, by the inputs' names."""
    rows = {t.name: list(t.dims) for t in model.graph.initializer}
    stands = {value.name: value.name for value in model.graph.input}
    found: dict[str, int] = {}
    for node in model.graph.node:
        if node.op_type in UNCHANGED and node.input[0] in stands:
            stands[node.output[0]] = stands[node.input[0]]
        if node.op_type == "Gather" and node.input[0] in rows and node.input[1] in stands:
            axis = next((a.i for a in node.attribute if a.name == "axis"), 0)
            name, size = stands[node.input[1]], rows[node.input[0]][axis]
            found[name] = min(size, found.get(name, size))
    return found
