"""PyTorch on NVIDIA GPUs: timed by CUDA events; eager, compiled, or as a captured graph."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch

from ..records import MeasurementPolicy
from . import nvidia
from .boards import board_id
from .clocks import Clock, EventClock, Step
from .host import cpu_hardware, host_run_metadata
from .torch_common import TorchBackend, TorchDevice, both
from .torch_execution import CHANNELS_LAST, CUDNN_BENCHMARK, Execution
from .validation import require_choice, whole_number

CAPTURE_WARM_UPS = 3
"""On a stream of their own, as torch's notes on CUDA graphs ask for."""
CACHE_FACTOR = 2
"""How many times the L2 cache is written to empty it."""
BFLOAT16_SINCE = (8, 0)
"""Compute capability with bfloat16 tensor cores (Ampere)."""


class CudaDevice(TorchDevice):
    """The `TorchDevice` of GPU number `index`."""

    name = "torch-cuda"
    ways: tuple[str, ...] = ("eager", "compiled", "graph")
    switches: tuple[str, ...] = (CHANNELS_LAST, CUDNN_BENCHMARK)
    numeric_modes: tuple[str, ...] = ("ieee", "tf32")
    caches: tuple[str, ...] = ("hot", "cold")
    warm_ups = 5
    quantum = 16
    """Tensor-core fragments are 16 wide, and 16 elements are whole memory sectors in every
    dtype; tiles of a kernel are wider, which only measuring shows."""

    def __init__(self, index: int) -> None:
        self.index = index

    def place(self) -> torch.device:
        return torch.device("cuda", self.index)

    def absent(self) -> str:
        if torch.version.cuda is None:
            return f"this torch ({torch.__version__}) is built without CUDA"
        if not torch.cuda.is_available():
            return "torch finds no NVIDIA GPU (or no driver)"
        count = torch.cuda.device_count()
        return "" if self.index < count else f"there is no GPU {self.index}, only {count}"

    def hardware(self) -> dict[str, str]:
        """The host's processor belongs to it: eager launches are its work."""
        found = torch.cuda.get_device_properties(self.index)
        return {
            "chip": found.name,
            "sms": str(found.multi_processor_count),
            "memory_gib": str(round(found.total_memory / 2**30)),
            "isa": f"sm_{found.major}{found.minor}",
            "host_chip": cpu_hardware()["chip"],
        }

    def software(self) -> dict[str, str]:
        return {
            "cuda": str(torch.version.cuda),
            "cudnn": str(_untyped(torch.backends.cudnn.version)()),
            "driver": nvidia.driver_version(),
        }

    def board(self) -> str | None:
        return board_id("gpu", str(torch.cuda.get_device_properties(self.index).uuid))

    def run_metadata(self) -> dict[str, str]:
        return {**host_run_metadata(), **nvidia.gpu_run_metadata(self.index)}

    def dtypes(self) -> Mapping[str, str]:
        old = not self.absent() and self._capability() < BFLOAT16_SINCE
        return {
            "float32": "",
            "float16": "",
            "bfloat16": "this GPU has no bfloat16 tensor cores" if old else "",
        }

    def _capability(self) -> tuple[int, int]:
        return torch.cuda.get_device_capability(self.index)

    def clock(self) -> Clock:
        """Events are recorded on the current stream: enter `environment` first."""
        return EventClock(
            lambda: _untyped(torch.cuda.Event)(enable_timing=True),
            lambda: torch.cuda.synchronize(self.index),
        )

    @contextmanager
    def environment(self, policy: MeasurementPolicy) -> Iterator[None]:
        benchmark = CUDNN_BENCHMARK in Execution.of(policy.execution).switches
        with torch.cuda.device(self.index), numeric_switches(policy.numeric_mode, benchmark):
            yield

    def clear_cache(self) -> Step:
        """Overwriting a buffer that is larger than the L2 cache leaves nothing else in it."""
        size = CACHE_FACTOR * torch.cuda.get_device_properties(self.index).L2_cache_size
        return torch.empty(size, dtype=torch.int8, device=self.place()).zero_

    def captured(self, step: Step, between: Step | None) -> Step:
        stream, current = _untyped(torch.cuda.Stream)(), torch.cuda.current_stream()
        stream.wait_stream(current)
        with torch.cuda.stream(stream):
            for _ in range(CAPTURE_WARM_UPS):
                both(between, step)()
        current.wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        if between is not None:
            between()
        with torch.cuda.graph(graph):
            step()
        return graph.replay


def _untyped(call: Any) -> Any:
    """Torch's own annotations have gaps here."""
    return call


@contextmanager
def numeric_switches(numeric_mode: str, benchmark: bool) -> Iterator[None]:
    """`ieee`: float32 is multiplied as such, `tf32`: with 10 bits of mantissa, by convolutions
    and matrix products alike. Torch's own default differs between the two."""
    precision = "tf32" if numeric_mode == "tf32" else "ieee"
    cudnn: Any = torch.backends.cudnn
    matmul: Any = torch.backends.cuda.matmul
    before = cudnn.conv.fp32_precision, matmul.fp32_precision, cudnn.benchmark
    try:
        cudnn.conv.fp32_precision = matmul.fp32_precision = precision
        cudnn.benchmark = benchmark
        yield
    finally:
        cudnn.conv.fp32_precision, matmul.fp32_precision, cudnn.benchmark = before


class TorchCudaBackend(TorchBackend):
    """Options: `device` (its number), `execution` (`graph+channels_last`), `numeric` (`ieee`,
    `tf32`: how float32 is multiplied)."""

    def __init__(self, device: str = "0", execution: str = "eager", numeric: str = "ieee") -> None:
        gpu = CudaDevice(whole_number("device", device))
        require_choice("numeric", numeric, gpu.numeric_modes)
        super().__init__(gpu, Execution.of(execution), numeric)
