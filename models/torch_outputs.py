"""What a torch module answers, as tensors by name, and which of them are compared.

An answer's tensors are named by their keys and fields, or by their places: `output0`, `output1`;
one alone is `output`. Numbers that are not floating, such as the indices of the largest, have no
relative error: the floating tensors that they were made from are compared in their place. So are
the inputs of Softmax, LogSoftmax and Sigmoid, which hide differences, and those of Sort and TopK,
where a small difference may change the order.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping, Sequence
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.utils.weak import WeakTensorKeyDictionary

from ..errors import ModelError, first_line
from ..inputs.calls import ForCall, call_of
from ..inputs.examples import Given
from ..inputs.names import free_name
from ..integrity.torch_files import as_array
from ..ops.function_calls import FunctionCalls
from .output_rules import OutputNames, judged, named, unlike

LOOKED_THROUGH = frozenset({"softmax", "log_softmax", "sigmoid", "sigmoid_", "topk", "sort"})
REARRANGED = frozenset(
    {
        *("reshape", "reshape_as", "view", "view_as", "flatten", "unflatten", "squeeze"),
        *("unsqueeze", "transpose", "swapaxes", "permute", "movedim", "moveaxis", "contiguous"),
        *("clone", "detach", "to", "type", "type_as", "float", "double", "half", "bfloat16"),
    }
)
"""Functions of which the result has the numbers of their first argument, maybe of another type."""
CHANGED_IN_PLACE = frozenset({"__setitem__", "__iadd__", "__isub__", "__imul__", "__itruediv__"})

OUTPUT_NAMES = "output_names"
"""Where a `torch.fx.GraphModule` that was converted keeps its outputs' names, in `meta`."""


class Origins(FunctionCalls):
    """Notes, while a module runs, which tensors others are compared by. Notes of tensors that
    nobody holds any more are forgotten, with what they refer to."""

    def __init__(self) -> None:
        super().__init__()
        self._noted: MutableMapping[Tensor, tuple[Tensor, ...]] = WeakTensorKeyDictionary()

    def of(self, tensor: Tensor) -> tuple[Tensor, ...]:
        """Return the floating tensors that stand for this one: mostly itself."""
        own = (tensor,) if tensor.is_floating_point() else ()
        return self._noted.get(tensor, own)

    def called(
        self, func: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> Any:
        name = getattr(func, "__name__", "")
        plain = name not in LOOKED_THROUGH and name not in REARRANGED and not _changes(name)
        given = [] if plain else list(_tensors([*args, *kwargs.values()]))
        made_of = self._made_of(name, given)
        result = func(*args, **kwargs)
        if plain and isinstance(result, Tensor) and result.is_floating_point():
            return result  # as most functions do: nothing to note
        if given and _changes(name):
            self._noted.pop(given[0], None)
        for tensor in _tensors([result]):
            if not tensor.is_floating_point():
                self._noted[tensor] = self._all_of(given or _tensors([*args, *kwargs.values()]))
            elif made_of:
                self._noted[tensor] = made_of
        return result

    def _all_of(self, tensors: Iterable[Tensor]) -> tuple[Tensor, ...]:
        """Return what stands for any of the tensors, each once, in the order in which they come."""
        found = {id(one): one for tensor in tensors for one in self.of(tensor)}
        return tuple(found.values())

    def _made_of(self, name: str, given: Sequence[Tensor]) -> tuple[Tensor, ...]:
        """Return what stands for the function's floating results; nothing for themselves."""
        if not given or name not in LOOKED_THROUGH | REARRANGED:
            return ()
        first = given[0].clone() if _changes(name) else given[0]
        return self.of(first) if name in LOOKED_THROUGH else self._noted.get(first, ())


def _changes(name: str) -> bool:
    """Return whether the function of that name changes its first argument in place."""
    return name in CHANGED_IN_PLACE or (name.endswith("_") and not name.startswith("__"))


def _tensors(values: Iterable[Any]) -> Iterator[Tensor]:
    for value in values:
        if isinstance(value, Tensor):
            yield value
        elif isinstance(value, (tuple, list)):
            yield from _tensors(value)


def answer_of(module: nn.Module, inputs: ForCall) -> Any:
    """Run one forward pass, which does not change the inputs; return what the module answers.

    Raises `ModelError` with one sentence when the network cannot take these inputs.
    """
    call = call_of(inputs)
    try:
        return call.on(module)
    except ModelError:
        raise
    except Exception as error:
        # A network is the user's code: it may raise anything.
        raise ModelError(
            f"the network does not run on an input of shape {call.shapes}: {first_line(error)}"
        ) from error


def compared_tensors(module: nn.Module, inputs: ForCall) -> dict[str, Tensor]:
    """Run one forward pass; return the tensors that are compared by output, the batch first.

    With gradients where these are enabled. Raises `ModelError` if there is nothing to compare.
    """
    call = call_of(inputs)
    names, found = find_outputs(module, call)
    names.check()
    return {n: t if t.shape[0] == call.size else t[None] for n, t in found.items()}


def find_outputs(module: nn.Module, inputs: ForCall) -> tuple[OutputNames, dict[str, Tensor]]:
    """Run one forward pass; return which outputs are compared, and the tensors that stand for
    them. Raises `ModelError` if the module answers no tensor."""
    call = call_of(inputs)
    with Origins() as origins:
        answer = answer_of(module, call)
    stands: list[tuple[str, bool, tuple[Tensor, ...]]] = []
    refused: dict[str, str] = {}
    for name, tensor in named_tensors(module, answer).items():
        made_of, floating = origins.of(tensor), tensor.is_floating_point()
        if floating and any(one.shape[:1] != (call.size,) for one in made_of):
            made_of = (tensor,)  # only the answer itself has the batch first
        if not made_of:
            refused[name] = unlike(str(tensor.dtype).removeprefix("torch."))
        stands.append((name, floating, made_of))
    found = named(stands, id)
    shapes = {name: tuple(tensor.shape) for name, tensor in found.items()}
    names = judged(shapes, call.size, refused)
    return names, {name: found[name] for name in names.compared}


def named_tensors(module: nn.Module, answer: Any) -> dict[str, Tensor]:
    """Return all tensors of a module's answer by name. Raises `ModelError` if there is none."""
    found: dict[str, Tensor] = {}
    for name, tensor in _named(answer, ""):
        found[free_name(name, found)] = tensor
    if not found:
        raise ModelError(f"the network's output is a {type(answer).__name__}, not a tensor")
    meta = getattr(module, "meta", None)
    names = meta.get(OUTPUT_NAMES) if isinstance(meta, dict) else None
    return dict(zip(names, found.values(), strict=True)) if names else found


def all_answers(module: nn.Module, inputs: Given) -> dict[str, NDArray[Any]]:
    """Run one forward pass; return every tensor that the module answers with, by name."""
    with torch.no_grad():
        found = named_tensors(module, answer_of(module, inputs))
    return {name: as_array(tensor) for name, tensor in found.items()}


def _named(answer: Any, name: str) -> Iterator[tuple[str, Tensor]]:
    """Yield the tensors of an answer and of what it holds; what is no tensor is left out."""
    if isinstance(answer, Tensor):
        yield name or "output", answer
        return
    if isinstance(answer, Mapping):
        fields = dict(answer)
    elif dataclasses.is_dataclass(answer):
        fields = {one.name: getattr(answer, one.name) for one in dataclasses.fields(answer)}
    elif isinstance(answer, tuple) and hasattr(answer, "_fields"):
        fields = dict(zip(answer._fields, answer, strict=True))
    else:
        several = answer if isinstance(answer, (tuple, list)) else ()
        for number, one in enumerate(several):
            yield from _named(one, f"{name or 'output'}{number}")
        return
    for key, one in fields.items():
        yield from _named(one, f"{name}.{key}" if name else str(key))
