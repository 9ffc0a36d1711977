"""What of a network's outputs is compared: the parts, each with a weight.

The network error is the root of the weighted mean, over the parts, of their squared relative
errors. So each part counts by its own size, whatever the others' units are.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Self, TypeVar

from ..errors import ModelError, UsageError

T = TypeVar("T")
"""A NumPy array or a torch tensor."""

SELECTION = re.compile(r"\[:(,-?\d*:-?\d*)*\]")
PART = re.compile(r"(?P<output>[^\[\]=,]+)(?P<selection>\[[^\]]*\])?(=(?P<weight>[^,]+))?")
BETWEEN_PARTS = re.compile(r",(?![^\[]*\])")
"""A comma that stands in no selection."""


@dataclass(frozen=True, slots=True)
class ComparedPart:
    """A whole output, or a selection of it, written as in NumPy with slices alone: `[:,4:]`.

    The first axis is the batch, of which everything counts. Raises `UsageError` for any other
    selection, and for a weight that is not above 0.
    """

    output: str
    selection: str = ""
    weight: float = 1.0

    def __post_init__(self) -> None:
        if self.selection and not SELECTION.fullmatch(self.selection):
            raise UsageError(
                f"{self.selection} is no selection of {self.output}: write slices, the batch "
                "first, for instance [:,4:]"
            )
        if not 0 < self.weight < float("inf"):
            raise UsageError(f"the weight of {self.name} must be above 0, not {self.weight:g}")

    @property
    def name(self) -> str:
        return f"{self.output}{self.selection}"

    def select(self, output: T) -> T:
        """Return the part of an array or tensor (n, ...)."""
        if not self.selection:
            return output
        taken: T = output[tuple(map(_slice, self.selection[1:-1].split(",")))]  # type: ignore[index]
        return taken


def _slice(text: str) -> slice:
    start, _, stop = text.partition(":")
    return slice(int(start) if start else None, int(stop) if stop else None)


@dataclass(frozen=True, slots=True)
class Compared:
    """The parts of a network's outputs that are compared, each once.

    Raises `UsageError` for none, and for one that is there twice.
    """

    parts: tuple[ComparedPart, ...]

    def __post_init__(self) -> None:
        names = self.names
        if not names:
            raise UsageError("nothing of the network's outputs is compared")
        if twice := [name for name in names if names.count(name) > 1]:
            raise UsageError(f"{twice[0]} is compared twice")

    @classmethod
    def whole(cls, names: Iterable[str]) -> Self:
        """Every output of these names, all alike."""
        return cls(tuple(ComparedPart(name) for name in names))

    @classmethod
    def parse(cls, text: str) -> Self:
        """`NAME[=WEIGHT],...`, each with a selection if need be: `boxes=2,output0[:,4:]`."""
        return cls(tuple(map(_part, BETWEEN_PARTS.split(text))))

    @property
    def names(self) -> list[str]:
        return [part.name for part in self.parts]

    @property
    def shares(self) -> list[float]:
        """Each part's share in the squared network error; together 1."""
        total = sum(part.weight for part in self.parts)
        return [part.weight / total for part in self.parts]

    def select(self, outputs: Mapping[str, T]) -> dict[str, T]:
        """Return the parts by name, of arrays or tensors (n, ...) by output.

        Raises `ModelError` for an output that is not there.
        """
        return {part.name: part.select(_output(outputs, part.output)) for part in self.parts}

    def check(self, outputs: Mapping[str, Any]) -> None:
        """Raise `UsageError` where a selection takes nothing of its output, `ModelError` where
        the output is not there."""
        for part in self.parts:
            output = _output(outputs, part.output)
            shape = ", ".join(("n", *map(str, output.shape[1:])))
            axes = part.selection.count(",") + 1
            if axes > output.ndim or not part.select(output).size:
                raise UsageError(
                    f"{part.selection} takes nothing of {part.output}, whose shape is ({shape})"
                )


def _part(text: str) -> ComparedPart:
    match = PART.fullmatch(text.replace(" ", ""))
    try:
        assert match is not None
        weight = float(match["weight"] or 1)
    except (AssertionError, ValueError):
        raise UsageError(
            f"--compare {text!r} cannot be read; write it like boxes=2 or output0[:,4:]"
        ) from None
    return ComparedPart(match["output"], match["selection"] or "", weight)


def _output(outputs: Mapping[str, T], name: str) -> T:
    if name not in outputs:
        known = ", ".join(outputs)
        raise ModelError(f"the network has no output {name!r} to compare; it has {known}")
    return outputs[name]
