"""Backends by name: the built-in ones, and those that other packages bring."""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import entry_points

from ..errors import BackendError
from .base import Backend

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

    Nothing else is imported. Raises `BackendError` for an unknown name and for options that
    the backend does not take.
    """
    name, _, options = text.partition(":")
    made = _class(name)
    try:
        backend = made(**_options(options))
    except (TypeError, ValueError) as error:
        raise BackendError(f"backend {text!r} cannot be opened: {error}") from None
    return backend  # type: ignore[no-any-return]


def _class(name: str) -> type:
    if name in BUILT_IN:
        module, _, attribute = BUILT_IN[name].partition(":")
        return getattr(import_module(f".{module}", __package__), attribute)  # type: ignore[no-any-return]
    for entry in entry_points(group=GROUP, name=name):
        try:
            return entry.load()  # type: ignore[no-any-return]
        except Exception as error:
            raise BackendError(f"backend {name!r} cannot be imported: {error}") from error
    known = ", ".join(backend_names())
    raise BackendError(f"unknown backend {name!r}; known are {known}")


def _options(text: str) -> dict[str, str]:
    pairs = [part.partition("=") for part in text.split(",") if part]
    for key, equals, _ in pairs:
        if not equals or not key:
            raise ValueError(f"options are written like step=16,seed=1, not {text!r}")
    return {key: value for key, _, value in pairs}
