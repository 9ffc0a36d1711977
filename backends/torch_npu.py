"""PyTorch on Huawei Ascend through `torch_npu`: timed by its events.

Written by Huawei's published sources (`torch_npu/npu`); it has not been run on a device yet.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import torch

from ..records import MeasurementPolicy
from .boards import place_on_host
from .clocks import Clock, EventClock
from .host import cpu_hardware
from .torch_common import TorchBackend, TorchDevice
from .torch_execution import Execution
from .validation import one_line, whole_number


class NpuDevice(TorchDevice):
    """The `TorchDevice` of NPU number `index`. `torch_npu` puts itself into torch as
    `torch.npu` when it is imported."""

    name = "torch-npu"
    warm_ups = 10
    """The first executions compile kernels, which may take half a minute."""
    quantum = 16
    """One instruction of the cube unit multiplies 16x16 by 16x16 in float16."""

    def __init__(self, index: int) -> None:
        self.index = index

    def _npu(self) -> Any:
        import_module("torch_npu")
        return torch.npu  # type: ignore[attr-defined]

    def place(self) -> torch.device:
        self._npu()
        return torch.device("npu", self.index)

    def absent(self) -> str:
        if find_spec("torch_npu") is None:
            return "the package torch_npu is not installed"
        try:
            npu = self._npu()
        except Exception as error:  # a missing CANN shows as OSError, ImportError ...
            return f"torch_npu cannot be imported: {one_line(error)}"
        if not npu.is_available():
            return "torch_npu finds no Ascend NPU"
        count = npu.device_count()
        return "" if self.index < count else f"there is no NPU {self.index}, only {count}"

    def hardware(self) -> dict[str, str]:
        npu = self._npu()
        found = npu.get_device_properties(self.index)
        return {
            "chip": npu.get_device_name(self.index),
            "memory_gib": str(round(found.total_memory / 2**30)),
            "host_chip": cpu_hardware()["chip"],
        }

    def software(self) -> dict[str, str]:
        return {"torch_npu": import_module("torch_npu").__version__}

    def board(self) -> str | None:
        return place_on_host("npu", self.index)

    def dtypes(self) -> Mapping[str, str]:
        return {"float32": "", "float16": "", "bfloat16": self._no_bfloat16()}

    def _no_bfloat16(self) -> str:
        if self.absent() or self._npu().is_bf16_supported():
            return ""
        return "this NPU has no bfloat16"

    def clock(self) -> Clock:
        npu = self._npu()
        return EventClock(
            lambda: npu.Event(enable_timing=True), lambda: npu.synchronize(self.index)
        )

    def environment(self, _policy: MeasurementPolicy) -> AbstractContextManager[object]:
        return self._npu().device(self.index)  # type: ignore[no-any-return]


class TorchNpuBackend(TorchBackend):
    """Options: `device` (its number), `execution` (`eager+channels_last`)."""

    def __init__(self, device: str = "0", execution: str = "eager") -> None:
        super().__init__(NpuDevice(whole_number("device", device)), Execution.of(execution))
