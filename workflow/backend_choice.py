"""The backend where nobody named one: where the network was measured last, or the best here."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeVar

from ..backends.registry import open_backend
from ..db.store import Store
from ..errors import BackendError, StoreError
from ..options.shared import DeviceOptions
from ..records import DeviceFingerprint
from ..reporter import Listeners

Options = TypeVar("Options", bound=DeviceOptions)

ONNX = ("onnxruntime-cuda", "onnxruntime-cann", "torch-cuda", "onnxruntime-cpu", "torch-cpu")
TORCH = ("torch-cuda", "torch-npu", "torch-mps", "torch-cpu", "onnxruntime-cpu")
"""The network's own runtime on the fastest device comes first."""


def with_backend(options: Options) -> Options:
    """Return the options with a backend; which one, and why, is said in one line.

    Raises `BackendError` where none works here.
    """
    if options.backend is not None:
        return options
    name, why = _last_used(options.model, options.db) or _best(options)
    said = f"--backend {name}: {why} (`rankwise devices` lists all)"
    Listeners.of(options.reporter).message(said)
    return replace(options, backend=name)


def _last_used(model: Any, db: str) -> tuple[str, str] | None:
    """The backend on which the store has the network's latest measurements, if it is here."""
    if not isinstance(model, str | Path):
        return None
    try:
        with Store.open(db, create=False, readonly=True) as store:
            sha256 = store.networks.find(str(model))
            known = store.measurements.devices_of(sha256) if sha256 else []
    except StoreError:
        return None
    name = next((one.backend for one in known if _is_here(one)), None)
    return None if name is None else (name, f"{model} was measured on it last")


def _is_here(device: DeviceFingerprint) -> bool:
    """Whether that very hardware is in this machine, by the backend's plain name."""
    try:
        backend = open_backend(device.backend)
        return not backend.probe() and backend.fingerprint().hardware_key == device.hardware_key
    except BackendError:
        return False


def _best(options: DeviceOptions) -> tuple[str, str]:
    is_file = _is_onnx(options.model)
    trained = getattr(options, "phase", "inference") != "inference"
    wanted = ONNX if is_file and not trained else TORCH
    what = "an .onnx file" if is_file else "a torch network"
    return _first_that_works(wanted), f"the best for {what} that works here"


def _is_onnx(model: Any) -> bool:
    """Whether it is a file of ONNX, named or read."""
    named = isinstance(model, str | Path) and str(model).lower().endswith(".onnx")
    return named or getattr(model, "framework", "") == "onnx"


def _first_that_works(names: Sequence[str]) -> str:
    for name in names:
        try:
            if _may_be_here(name) and not open_backend(name).probe():
                return name
        except BackendError:
            continue
    raise BackendError("no backend works here: `rankwise devices` says why not")


def _may_be_here(name: str) -> bool:
    """Without loading libraries for seconds: is there a sign of such a device?"""
    signs = {
        "cuda": lambda: bool(shutil.which("nvidia-smi")) or Path("/dev/nvidiactl").exists(),
        "cann": lambda: find_spec("acl") is not None,
        "npu": lambda: find_spec("torch_npu") is not None,
        "mps": lambda: sys.platform == "darwin",
    }
    return signs.get(name.rpartition("-")[2], lambda: True)()
