"""Which of a network's outputs can be compared: floating ones that have the batch first."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from ..errors import ModelError
from ..inputs.names import free_name

Shape = tuple[int, ...]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class OutputNames:
    """Names of the outputs that are compared, in the network's order, and why others are not:
    one phrase each, by name."""

    compared: tuple[str, ...]
    left_out: Mapping[str, str]

    def check(self) -> None:
        """Raise `ModelError` if there is nothing to compare."""
        if not self.compared:
            reasons = "; ".join(f"{name} {why}" for name, why in self.left_out.items())
            raise ModelError(f"the network has no output that can be compared: {reasons}")


def judged(shapes: Mapping[str, Shape], batch: int, refused: Mapping[str, str]) -> OutputNames:
    """Sort floating outputs by their shapes, `batch` examples together; `refused` are others.

    One example's only output may lack the batch: networks squeeze it away.
    """
    alone = batch == 1 and len(shapes) == 1
    left_out = dict(refused)
    for name, shape in shapes.items():
        if not shape:
            left_out[name] = "is one number for the whole batch"
        elif shape[0] != batch and not alone:
            left_out[name] = f"has the shape {shape}, without the batch of {batch} first"
    return OutputNames(tuple(name for name in shapes if name not in left_out), left_out)


def named(
    outputs: Iterable[tuple[str, bool, Sequence[T]]], key: Callable[[T], Hashable]
) -> dict[str, T]:
    """Return what outputs are compared by, each tensor once, under a name of its own.

    `outputs`: the name of each, whether it is floating, and the tensors that stand for it, which
    are numbered where there are several. `key` tells tensors apart. Where two outputs come to one
    tensor it has the first one's name, or that of the first floating one.
    """
    found: dict[Hashable, tuple[str, bool, T]] = {}
    for name, floating, made_of in outputs:
        for number, one in enumerate(made_of):
            own, known = name if len(made_of) == 1 else f"{name}{number}", found.get(key(one))
            if known is None or (floating and not known[1]):
                found[key(one)] = own, floating, one
    tensors: dict[str, T] = {}
    for name, _, one in found.values():
        tensors[free_name(name, tensors)] = one
    return tensors


def unlike(dtype: object) -> str:
    """Return why an output that stands for no floating tensor is left out."""
    return f"is of type {dtype} and follows from no floating tensor"
