"""PyTorch on the processor: eager, or compiled by `torch.compile`."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import torch

from ..records import MeasurementPolicy
from . import malloc_env
from .clocks import Clock, HostClock
from .host import cpu_hardware
from .torch_common import TorchBackend, TorchDevice
from .torch_execution import Execution


class Processor(TorchDevice):
    """The `TorchDevice` that every machine has."""

    name = "torch-cpu"
    ways: tuple[str, ...] = ("eager", "compiled")
    has_threads = True
    warm_ups = 0
    quantum = 16
    """oneDNN blocks channels by 16 where there is AVX-512, by 8 below; its plateaus are weak,
    so 16 is a grid rather than a law."""

    def place(self) -> torch.device:
        return torch.device("cpu")

    def absent(self) -> str:
        return ""

    def hardware(self) -> dict[str, str]:
        return cpu_hardware()

    def software(self) -> dict[str, str]:
        return {
            "mkldnn": str(torch.backends.mkldnn.enabled),
            "cpu_capability": torch.backends.cpu.get_cpu_capability(),
            "heap": malloc_env.described(),
        }

    def dtypes(self) -> Mapping[str, str]:
        """Without oneDNN's kernels a half is computed by a loop that nobody would run."""
        missing = "oneDNN has no kernels for it on this processor"

        def reason(half: str) -> str:
            supported = getattr(torch.ops.mkldnn, f"_is_mkldnn_{half}_supported")
            return "" if supported() else missing

        return {"float32": "", "bfloat16": reason("bf16"), "float16": reason("fp16")}

    def clock(self) -> Clock:
        return HostClock()

    @contextmanager
    def environment(self, policy: MeasurementPolicy) -> Iterator[None]:
        """Torch's threads belong to the process: set for the timing, then as they were."""
        before = torch.get_num_threads()
        torch.set_num_threads(policy.threads)
        try:
            yield
        finally:
            torch.set_num_threads(before)


class TorchCpuBackend(TorchBackend):
    """Option: `execution`, such as `compiled+channels_last`."""

    def __init__(self, execution: str = "eager") -> None:
        super().__init__(Processor(), Execution.of(execution))

    def probe(self) -> str:
        wants_compiler = self._execution.way == "compiled"
        if wants_compiler and not any(map(shutil.which, ("c++", "g++", "clang++"))):
            return "torch.compile needs a C++ compiler, and none is on PATH"
        return super().probe()
