"""Backends by name: the built-in ones, and those that other packages bring."""

from __future__ import annotations

import inspect
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any

from ..errors import BackendError
from .base import Backend
from .limits import one_line

GROUP = "rankwise.backends"

BUILT_IN = {
    "fake": "fake:FakeBackend",
    "onnxruntime-cpu": "onnxruntime_cpu:OnnxRuntimeCpuBackend",
    "torch-cpu": "torch_cpu:TorchCpuBackend",
}
"""Known without installed metadata, and imported as siblings, never as a second copy."""


def backend_names() -> list[str]:
    """All names that `open_backend` takes, sorted."""
    return sorted({*BUILT_IN, *(entry.name for entry in entry_points(group=GROUP))})


def open_backend(text: str) -> Backend:
    """The backend that `text` names, such as `torch-cpu` or `fake:step=16,jitter=0.01`.

    Nothing else is imported. Raises `BackendError` for an unknown name, for a backend whose
    libraries cannot be imported, and for options that the backend does not take.
    """
    name, _, written = text.partition(":")
    made = _class(name)
    options = _options(written)
    _require_known(name, made, options)
    try:
        return made(**options)  # type: ignore[no-any-return]
    except (TypeError, ValueError) as error:
        raise BackendError(f"backend {text!r} cannot be opened: {one_line(error)}") from None


def _class(name: str) -> Any:
    try:
        return _loaded(name)
    except BackendError:
        raise
    except Exception as error:  # whatever the import of a foreign library may raise
        reason = one_line(error)
        raise BackendError(f"backend {name!r} cannot be imported: {reason}") from error


def _loaded(name: str) -> Any:
    if name in BUILT_IN:
        module, _, attribute = BUILT_IN[name].partition(":")
        return getattr(import_module(f".{module}", __package__), attribute)
    for entry in entry_points(group=GROUP, name=name):
        return entry.load()
    known = ", ".join(backend_names())
    raise BackendError(f"unknown backend {name!r}; known are {known}")


def _options(text: str) -> dict[str, str]:
    pairs = [part.partition("=") for part in text.split(",") if part]
    for key, equals, _ in pairs:
        if not equals or not key:
            raise BackendError(f"options are written like step=16,seed=1, not {text!r}")
    return {key.strip(): value.strip() for key, _, value in pairs}


def _require_known(name: str, made: Any, options: dict[str, str]) -> None:
    parameters = inspect.signature(made).parameters.values()
    if any(one.kind is one.VAR_KEYWORD for one in parameters):
        return
    known = [one.name for one in parameters]
    for key in options:
        if key not in known:
            takes = f"takes {', '.join(known)}" if known else "takes no options"
            raise BackendError(f"backend {name!r} has no option {key!r}; it {takes}")
