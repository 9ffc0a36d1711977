"""ONNX files as workloads: read, and fitted to the input shape that is timed."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import MeasurementError
from ..ops.made_up import InputSpec
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


def fix_inputs(model: ModelProto, specs: Sequence[InputSpec]) -> list[str]:
    """Replace symbolic sizes of the inputs by the ones that are timed; the inputs' names.

    `MeasurementError` (`prepare`) if another shape is wanted, or other inputs.
    """
    weights = {tensor.name for tensor in model.graph.initializer}
    values = {one.name: one for one in model.graph.input if one.name not in weights}
    for name, spec in in_file(list(values), specs).items():
        _fix(values[name], spec.shape)
    return list(values)


def in_file(names: Sequence[str], specs: Sequence[InputSpec]) -> dict[str, InputSpec]:
    """What each of a file's inputs is like: the only one whatever it is called, several by their
    names. `MeasurementError` (`prepare`) if there are others."""
    if len(specs) == 1:
        return {require_one_input(names): specs[0]}
    known = {spec.name: spec for spec in specs}
    if missing := [name for name in names if name not in known]:
        found = ", ".join(known)
        raise MeasurementError(f"nothing is known of the input {missing[0]!r}: {found}", "prepare")
    return {name: known[name] for name in names}


def _fix(value: ValueInfoProto, input_shape: Sequence[int]) -> None:
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


def require_one_input(names: Sequence[str]) -> str:
    """The only input's name; `MeasurementError` (`prepare`) if there are others."""
    if len(names) != 1:
        found = ", ".join(names) or "none"
        raise MeasurementError(f"a network needs exactly one input, this has {found}", "prepare")
    return names[0]
