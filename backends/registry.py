"""Backends by name: the built-in ones, and those that other packages bring."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any

from ..errors import BackendError, did_you_mean
from .base import Backend
from .validation import one_line

GROUP = "rankwise.backends"

BUILT_IN = {
    "ascend-acl": "ascend_acl:AscendAclBackend",
    "fake": "fake:FakeBackend",
    "torch-cpu": "torch_cpu:TorchCpuBackend",
    "torch-cuda": "torch_cuda:TorchCudaBackend",
    "torch-mps": "torch_mps:TorchMpsBackend",
    "torch-npu": "torch_npu:TorchNpuBackend",
}
"""Known without installed metadata, and imported as siblings, never as a second copy."""

FAMILIES = {"onnxruntime": "onnxruntime_providers", "openvino": "openvino_devices"}
"""`<family>-<slug>`: one class and a table; the module has `named(slug)` and `found_names()`."""

OF_FAMILIES = (
    *(f"onnxruntime-{slug}" for slug in ("cpu", "cuda", "tensorrt", "cann", "openvino")),
    *(f"onnxruntime-{slug}" for slug in ("directml", "coreml", "xnnpack")),
    *(f"openvino-{slug}" for slug in ("cpu", "gpu", "npu")),
)
"""Those that are listed everywhere. Others open by name where the runtime has them."""


def backend_names() -> list[str]:
    """The names that are known without asking a runtime, sorted."""
    return sorted({*BUILT_IN, *OF_FAMILIES, *_plugins()})


def _plugins() -> Iterator[str]:
    return (entry.name for entry in entry_points(group=GROUP))


def family_of(name: str) -> str:
    """Backends of one family share their libraries: `torch`, `onnxruntime`, `openvino` ...

    Built-in ones only; one that another package brings is a family of its own.
    """
    built_in = name in BUILT_IN or _slug(name)
    return name.partition("-")[0] if built_in else name


def found_in_family(family: str) -> list[str]:
    """All backends that a family's runtime has here. Imports it."""
    if family not in FAMILIES:
        return []
    found: list[str] = _module(FAMILIES[family]).found_names()
    return found


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
        return getattr(_module(module), attribute)
    if name in OF_FAMILIES:
        return _of_family(name)
    for entry in entry_points(group=GROUP, name=name):
        return entry.load()
    if _slug(name):
        return _of_family(name)
    known = backend_names()
    hint = did_you_mean(name, known)
    raise BackendError(f"unknown backend {name!r}{hint}; known are {', '.join(known)}")


def _of_family(name: str) -> Any:
    return _module(FAMILIES[name.partition("-")[0]]).named(_slug(name))


def _slug(name: str) -> str:
    """What stands behind a family's name; empty if the name belongs to none."""
    family, _, slug = name.partition("-")
    return slug if family in FAMILIES else ""


def _module(name: str) -> Any:
    return import_module(f".{name}", __package__)


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
