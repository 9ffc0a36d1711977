"""Examples that are ready for a network: from an `.npz`, or from a function of the user's."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import CalibrationError, ModelError, RankwiseError, first_line
from ..inputs.examples import Examples, Given, NetworkInputs
from ..sources.callables import find_callable, working_directory_importable

ARRAY_NAMES = ("inputs", "images", "x", "arr_0")
"""Names of the array for a network's only input, besides the input's own."""
MAX_PARTS = 4096
"""Most parts that are taken of what a function yields: no split needs more."""

Arrays = Mapping[str, NDArray[Any]]


def from_npz(path: Path, inputs: NetworkInputs) -> Given:
    """Return the examples in a file with an array for each input, by name; for a network's only
    input the only array, or one with a usual name. Other arrays are left alone.

    Raises `CalibrationError` for what cannot be read, or does not fit.
    """
    arrays = _read(path, inputs)
    return _fitting(str(path), inputs, [arrays])


def from_function(text: str, inputs: NetworkInputs) -> Given:
    """Return the examples that `package.module:callable` returns or yields: dicts of arrays by
    input, each of one example or of several; an array alone for a network's only input.

    Raises `CalibrationError` for what does not fit, or where the function fails.
    """
    try:
        function, _ = find_callable(text)
        with working_directory_importable():
            parts = [_by_name(text, one, inputs) for one in islice(_each(function()), MAX_PARTS)]
    except CalibrationError:
        raise
    except RankwiseError as error:
        raise CalibrationError(str(error)) from error
    except Exception as error:  # the user's code may raise anything
        raise CalibrationError(f"{text} failed: {first_line(error)}") from error
    if not parts:
        raise CalibrationError(f"{text} gives no examples")
    return _fitting(text, inputs, parts)


def _each(made: Any) -> Iterator[Any]:
    """Yield what a function returned, or what it yields."""
    alone = isinstance(made, Mapping) or hasattr(made, "shape")
    yield from [made] if alone else made


def _by_name(text: str, part: Any, inputs: NetworkInputs) -> Arrays:
    """Return arrays with the examples first."""
    if not isinstance(part, Mapping):
        if len(inputs.specs) > 1:
            raise CalibrationError(
                f"{text} should give dicts with arrays for {', '.join(inputs.names)}, not a "
                f"{type(part).__name__}"
            )
        part = {inputs.names[0]: part}
    arrays = {str(name): np.asarray(array) for name, array in part.items()}
    single = {
        spec.name
        for spec in inputs.specs
        if spec.batched and spec.name in arrays and arrays[spec.name].ndim == len(spec.shape) - 1
    }
    return {name: array[None] if name in single else array for name, array in arrays.items()}


def _fitting(source: str, inputs: NetworkInputs, parts: Sequence[Arrays]) -> Given:
    """Return the parts together. Raises `CalibrationError` for what does not fit."""
    try:
        taken = [
            inputs.fitting({n: a for n, a in part.items() if n in inputs.names}) for part in parts
        ]
    except ModelError as error:
        raise CalibrationError(f"{source}: {error}") from None
    columns = zip(inputs.specs, zip(*taken, strict=True), strict=True)
    arrays = tuple(
        np.concatenate(column) if spec.batched else column[0] for spec, column in columns
    )
    return np.ascontiguousarray(arrays[0]) if inputs.plain else Examples(inputs, arrays)


def _read(path: Path, inputs: NetworkInputs) -> dict[str, NDArray[Any]]:
    """Return the inputs' arrays in the file, by the inputs' names."""
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            names = _names(path, arrays.files, inputs)
            return {name: arrays[stored] for name, stored in names.items()}
    except CalibrationError:
        raise
    except Exception as error:
        # NumPy raises what zipfile, zlib and its own reader raise.
        raise CalibrationError(f"{path} cannot be read as an .npz of plain arrays") from error


def _names(path: Path, stored: Sequence[str], inputs: NetworkInputs) -> dict[str, str]:
    """Return the file's names of the inputs' arrays, by the inputs' names."""
    own = inputs.names
    if len(own) > 1 or own[0] in stored:
        missing = [s.name for s in inputs.specs if s.batched and s.name not in stored]
        if missing:
            raise CalibrationError(
                f"{path} has no array {missing[0]!r}; the network takes {', '.join(own)}, and the "
                f"file has {', '.join(stored) or 'none'}"
            )
        return {name: name for name in own if name in stored}
    usual = [name for name in ARRAY_NAMES if name in stored] or list(stored)
    if not usual or (len(stored) > 1 and usual == list(stored)):
        raise CalibrationError(f"{path} should hold one array, or one named {ARRAY_NAMES[0]}")
    return {own[0]: usual[0]}
