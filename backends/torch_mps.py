"""PyTorch on Apple's GPUs (Metal): timed by its events. It has not been run on a device yet."""

from __future__ import annotations

import platform
from contextlib import AbstractContextManager, nullcontext

import torch

from ..records import MeasurementPolicy
from .clocks import Clock, EventClock
from .host import cpu_hardware
from .torch_common import TorchBackend, TorchDevice
from .torch_execution import Execution


class MpsDevice(TorchDevice):
    """The one `TorchDevice` that a Mac has beside its processor."""

    name = "torch-mps"
    warm_ups = 5
    quantum = 8
    """Metal's SIMD-group matrices are 8x8."""

    def place(self) -> torch.device:
        return torch.device("mps")

    def absent(self) -> str:
        if not torch.backends.mps.is_built():
            return "this torch is built without Metal"
        return "" if torch.backends.mps.is_available() else "there is no Metal device"

    def hardware(self) -> dict[str, str]:
        """The GPU is part of the chip, and memory is shared."""
        return cpu_hardware()

    def software(self) -> dict[str, str]:
        return {"macos": platform.mac_ver()[0]}

    def clock(self) -> Clock:
        return EventClock(lambda: torch.mps.Event(enable_timing=True), torch.mps.synchronize)

    def environment(self, _policy: MeasurementPolicy) -> AbstractContextManager[object]:
        return nullcontext()


class TorchMpsBackend(TorchBackend):
    """Option: `execution` (`eager+channels_last`)."""

    def __init__(self, execution: str = "eager") -> None:
        super().__init__(MpsDevice(), Execution.of(execution))
