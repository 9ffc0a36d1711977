"""Torch modules called with examples: in order, by keywords, or in nested tuples and dicts."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from ..errors import ModelError, first_line
from .examples import Examples, Given, NetworkInputs
from .names import free_name

Arguments = tuple[tuple[Any, ...], dict[str, Any]]


@dataclass(frozen=True, slots=True, eq=False)
class CallForm:
    """The arguments of a module, `places` of whose parts are inputs; the others stay what they
    are (`parts`)."""

    structure: Any
    parts: tuple[Any, ...]
    places: tuple[int, ...]

    def __deepcopy__(self, memo: dict[int, object]) -> CallForm:
        """Nobody changes it; and torch warns of an old name while it copies a structure."""
        return self

    def arguments(self, tensors: tuple[Tensor, ...]) -> Arguments:
        """Return the arguments with these tensors for the inputs."""
        parts = list(self.parts)
        for place, tensor in zip(self.places, tensors, strict=True):
            parts[place] = tensor
        args, kwargs = pytree.tree_unflatten(parts, self.structure)
        return tuple(args), dict(kwargs)


@dataclass(frozen=True, slots=True, eq=False)
class Call:
    """Tensors for one forward pass over `size` examples."""

    tensors: tuple[Tensor, ...]
    size: int
    form: CallForm | None = None

    @property
    def arguments(self) -> Arguments:
        """Tensors of its own for each forward pass, because some networks change their inputs."""
        own = tuple(tensor.detach().clone() for tensor in self.tensors)
        return (own, {}) if self.form is None else self.form.arguments(own)

    def on(self, module: nn.Module) -> Any:
        """Run one forward pass; return what the module answers."""
        args, kwargs = self.arguments
        return module(*args, **kwargs)

    def to(self, device: torch.device) -> Call:
        """Return the call with its tensors on the device."""
        return replace(self, tensors=tuple(tensor.to(device) for tensor in self.tensors))

    @property
    def shapes(self) -> str:
        return ", ".join(str(tuple(tensor.shape)) for tensor in self.tensors)


ForCall: TypeAlias = Given | Tensor | Call
"""What a module can be called with: examples, or a tensor where it takes only one."""


def call_of(given: ForCall) -> Call:
    """Return the call of a module with these examples."""
    if isinstance(given, Call):
        return given
    if isinstance(given, Tensor):
        return Call((given,), len(given))
    if isinstance(given, Examples):
        tensors = tuple(_tensor(array) for array in given.arrays)
        return Call(tensors, len(given), given.inputs.form)
    return Call((_tensor(given),), len(given))


def _tensor(array: NDArray[Any]) -> Tensor:
    # `ascontiguousarray` would give a scalar an axis.
    return torch.from_numpy(np.require(array, requirements=["C", "W"]))


def inputs_for(
    module: nn.Module, args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> NetworkInputs:
    """Return the inputs of a module that is called with these arguments: all their tensors and
    arrays, in tuples, lists and dicts, too. Raises `ModelError` where there is none."""
    paths, structure = pytree.tree_flatten_with_path((tuple(args), dict(kwargs)))
    first = _parameter_names(module, args)
    arrays: dict[str, NDArray[Any]] = {}
    parts, places = list[Any](), list[int]()
    for place, (path, part) in enumerate(paths):
        array = _array(part)
        parts.append(part if array is None else None)
        if array is not None:
            arrays[free_name(_name(path, first), arrays)] = array
            places.append(place)
    if not arrays:
        raise ModelError("the example input holds no tensor")
    in_order = not kwargs and len(places) == len(args) == len(parts)
    form = None if in_order else CallForm(structure, tuple(parts), tuple(places))
    made = NetworkInputs.of(arrays, form)
    if in_order and len(arrays) == 1 and made.specs[0].plain:
        return NetworkInputs.picture(made.shape)
    return made


def _array(part: Any) -> NDArray[Any] | None:
    """Return the numbers of a tensor or an array; None for anything else."""
    if isinstance(part, np.ndarray):
        return part
    if not isinstance(part, Tensor):
        return None
    try:
        return np.array(part.detach().cpu().numpy())
    except (TypeError, RuntimeError) as error:  # types that NumPy does not have
        raise ModelError(f"an example input of type {part.dtype}: {first_line(error)}") from None


def _parameter_names(module: nn.Module, args: tuple[Any, ...]) -> list[str]:
    """Return the names of the module's positional parameters, as many as there are arguments."""
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    try:
        known = inspect.signature(module.forward).parameters.values()
    except (TypeError, ValueError):
        known = {}.values()
    names = [one.name for one in known if one.kind in kinds]
    return [*names, *(f"input{place}" for place in range(len(names), len(args)))]


def _name(path: Any, first: list[str]) -> str:
    """Return the name of an argument, or of a part of one: `batch.image`, `boxes.0`."""
    side, where, *rest = (getattr(key, "key", getattr(key, "idx", key)) for key in path)
    head = str(where) if side == 1 else first[where]
    return ".".join([head, *map(str, rest)])


class InOrder(nn.Module):
    """A module that takes its inputs one after the other, whatever `module` takes, and answers
    its tensors as a tuple: what exporters and backends can call. It changes no input."""

    def __init__(
        self,
        module: nn.Module,
        form: CallForm | None,
        tensors: Callable[[Any], Mapping[str, Tensor]],
    ) -> None:
        super().__init__()
        self.module, self._form, self._tensors = module, form, tensors

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        args, kwargs = Call(inputs, 0, self._form).arguments
        return tuple(self._tensors(self.module(*args, **kwargs)).values())
