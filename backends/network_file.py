"""ONNX files as workloads: read, and fitted to the input shape that is timed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import MeasurementError
from .validation import one_line

if TYPE_CHECKING:
    from onnx import ModelProto, ValueInfoProto


def read_network(path: Path) -> ModelProto:
    """The model in the file, weights beside it included. `MeasurementError` (`prepare`)."""
    import onnx

    try:
        model: ModelProto = onnx.load(path)
    except Exception as error:  # of protobuf, of the file system
        raise unreadable(path, error) from error
    if not model.graph.node:
        raise MeasurementError(f"{path.name} cannot be read: it holds no network", "prepare")
    return model


def unreadable(path: Path, error: Exception) -> MeasurementError:
    return MeasurementError(f"{path.name} cannot be read: {one_line(error)}", "prepare")


def fix_input(model: ModelProto, input_shape: Sequence[int]) -> str:
    """Replace symbolic sizes of the input by the ones that are timed; the input's name.

    `MeasurementError` (`prepare`) if another shape is wanted, or another number of inputs.
    """
    value = _only_input(model)
    dims = value.type.tensor_type.shape.dim
    said = [dim.dim_value or dim.dim_param or "?" for dim in dims]
    fits = len(dims) == len(input_shape) and all(
        dim.dim_value in (0, size) for dim, size in zip(dims, input_shape, strict=True)
    )
    if not fits:
        wanted = list(input_shape)
        raise MeasurementError(f"{wanted} does not fit input {value.name!r} {said}", "prepare")
    for dim, size in zip(dims, input_shape, strict=True):
        dim.dim_value = size
    return str(value.name)


def _only_input(model: ModelProto) -> ValueInfoProto:
    weights = {tensor.name for tensor in model.graph.initializer}
    inputs: list[ValueInfoProto] = [one for one in model.graph.input if one.name not in weights]
    require_one_input([one.name for one in inputs])
    return inputs[0]


def require_one_input(names: Sequence[str]) -> str:
    """The only input's name; `MeasurementError` (`prepare`) if there are others."""
    if len(names) != 1:
        found = ", ".join(names) or "none"
        raise MeasurementError(f"a network needs exactly one input, this has {found}", "prepare")
    return names[0]
