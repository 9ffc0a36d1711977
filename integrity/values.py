"""Plain values as text that is equal wherever, and in whatever order, they were made."""

from __future__ import annotations

import dataclasses
import enum
import functools
import hashlib
import inspect
import os
import types
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from .code import Codes
from .places import is_trusted

DEEPEST = 6
"""How far objects are followed that hold others."""
MADE_WITH = ("path", "version", "dir", "file")
"""Last words of names of what says where, or with what, an object was made; not what it does."""

COMMON = frozenset({*vars(nn.Module()), "_is_torch_compile"})
"""Attributes that each module has, and what torch.compile leaves on one that it wraps."""

PLAIN = (bool, int, float, complex, bytes, type(None))
NAMED = (torch.dtype, torch.device, torch.layout, torch.memory_format, range, slice)


class Values:
    """Texts for values. `place` names the network's own parts, which are described elsewhere."""

    def __init__(self, codes: Codes, place: Callable[[nn.Module], str | None]) -> None:
        self._codes, self._place = codes, place
        self._known: dict[int, tuple[Any, str]] = {}

    def said(self, value: Any, depth: int = 0) -> str:
        """Return a text of the value's type and content. Objects of no known kind are said by
        their type and their public attributes."""
        if isinstance(value, str):
            return "a path" if Path(value).is_absolute() else repr(value)
        if isinstance(value, enum.Enum):
            return f"{_name(type(value))}.{value.name}"
        if isinstance(value, (*PLAIN, *NAMED)):
            return repr(value)
        if isinstance(value, (Tensor, np.ndarray, np.generic)):
            return said_array(value)
        if isinstance(value, os.PathLike):
            return "a path"
        if depth > DEEPEST:
            return _name(type(value))
        if id(value) not in self._known:
            self._known[id(value)] = value, "itself"  # held, so that nothing else gets its id
            self._known[id(value)] = value, _short(self._held(value, depth + 1))
        return self._known[id(value)][1]

    def _held(self, value: Any, depth: int) -> str:
        if callable(value) and not isinstance(value, nn.Module):
            return self._callable(value, depth)
        return self._several(value, depth)

    def _callable(self, value: Any, depth: int) -> str:
        if isinstance(value, functools.partial):
            return self._list("partial", (value.func, value.args, value.keywords), depth)
        if isinstance(value, types.MethodType):
            return self._list(value.__name__, (value.__func__, value.__self__), depth)
        if isinstance(value, types.FunctionType):
            held = [cell.cell_contents for cell in value.__closure__ or () if _is_filled(cell)]
            given = (held, value.__defaults__, value.__kwdefaults__)
            return self._list(self._codes.of(value), given, depth)
        if isinstance(value, type):
            return self._codes.of(value)
        if isinstance(value, types.BuiltinFunctionType) or is_trusted(type(value).__module__):
            return str(getattr(value, "__name__", type(value).__name__))
        return self._several(value, depth)

    def _several(self, value: Any, depth: int) -> str:
        if isinstance(value, (list, tuple)):
            return self._list("list", value, depth)
        if isinstance(value, (set, frozenset)):
            return f"set({', '.join(sorted(self.said(one, depth) for one in value))})"
        if isinstance(value, Mapping):
            items = (f"{self.said(k, depth)}: {self.said(v, depth)}" for k, v in value.items())
            return f"dict({', '.join(sorted(items))})"
        if isinstance(value, nn.Module):
            place = self._place(value)
            return f"part {place!r}" if place is not None else self._module(value, depth)
        if isinstance(value, types.ModuleType) or is_trusted(type(value).__module__):
            return self._trusted(value, depth)
        return self._object(value, depth)

    def _trusted(self, value: Any, depth: int) -> str:
        """A library's own object: only what holds plain values is looked into."""
        if isinstance(value, types.SimpleNamespace):
            return self._object(value, depth)
        return _name(type(value))

    def _object(self, value: Any, depth: int) -> str:
        held = dict(getattr(value, "__dict__", {}))
        if dataclasses.is_dataclass(value):
            held |= {one.name: getattr(value, one.name, None) for one in dataclasses.fields(value)}
        items = (f"{n}: {self.said(one, depth)}" for n, one in sorted(held.items()) if _counts(n))
        return f"{self._codes.of(type(value))}({', '.join(items)})"

    def _module(self, module: nn.Module, depth: int) -> str:
        """A module that is no part of the network's, such as one in a plain list."""
        tensors = [*module.named_parameters(), *module.named_buffers()]
        held = {part: attributes_of(part) for part in module.modules()}
        return " ".join(
            [
                *(f"{name}: {said_array(tensor)}" for name, tensor in tensors),
                *(self._codes.of(type(part)) for part in held),
                *(self.said(attributes, depth) for attributes in held.values()),
            ]
        )

    def _list(self, what: str, values: Any, depth: int) -> str:
        return f"{what}({', '.join(self.said(one, depth) for one in values)})"


def attributes_of(part: nn.Module) -> dict[str, Any]:
    """Return a module's own attributes. Of torch's modules only settings count that are not as the
    constructor has them by default: newer versions add some, and derive others."""
    own = {name: value for name, value in vars(part).items() if name not in COMMON}
    if not is_trusted(type(part).__module__):
        texts = (name for name, value in own.items() if isinstance(value, str))
        return {name: own[name] for name in own.keys() - {t for t in texts if _is_origin(t)}}
    given = inspect.signature(type(part).__init__).parameters
    return {
        name: value
        for name, value in own.items()
        if _replaces_a_method(part, name, value)
        or (name in given and not _is_default(value, given[name].default))
    }


def _replaces_a_method(part: nn.Module, name: str, value: Any) -> bool:
    """Whether somebody has put code of another's in the place of a method, such as `forward`."""
    return callable(value) and callable(getattr(type(part), name, None))


def _is_default(value: Any, default: Any) -> bool:
    return isinstance(value, (*PLAIN, str)) and type(value) is type(default) and value == default


def said_array(value: Any) -> str:
    """Return type, shape and a hash of the bytes of a tensor or array."""
    if not isinstance(value, Tensor):
        array = np.ascontiguousarray(value)
        content = array.tobytes() if array.dtype != object else repr(array.tolist()).encode()
        return f"{array.dtype}{array.shape} {hashlib.sha256(content).hexdigest()}"
    if value.is_quantized:
        return f"{value.qscheme()} {said_array(value.dequantize())}"
    if value.is_meta or value.is_sparse:
        return f"{value.dtype}{tuple(value.shape)} {value.layout}"
    flat = value.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
    return f"{value.dtype}{tuple(value.shape)} {hashlib.sha256(flat.numpy().data).hexdigest()}"


def _counts(name: str) -> bool:
    """Whether an object's attribute of that name may say what the object does."""
    return not name.startswith("_") and not _is_origin(name)


def _is_origin(name: str) -> bool:
    return name.rpartition("_")[2] in MADE_WITH


def _short(text: str) -> str:
    """Return a text of bounded length: what holds what holds others would grow without end."""
    return text if len(text) < 100 else hashlib.sha256(text.encode()).hexdigest()


def _is_filled(cell: types.CellType) -> bool:
    try:
        _ = cell.cell_contents
    except ValueError:
        return False
    return True


def _name(kind: type) -> str:
    return f"{kind.__module__}.{kind.__qualname__}"
