"""PyTorch on the processor, eager."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from numpy.typing import NDArray

from ..errors import BackendError, MeasurementError
from ..ops.chain import random_weights
from ..ops.torch_writer import to_torch
from ..records import DeviceFingerprint, MeasurementPolicy
from .base import Arrays, ChainWorkload, ModuleWorkload, Workload, random_input
from .host import cpu_hardware, host_circumstances
from .limits import one_line, require_supported
from .modules import compute, evaluating

ALLOWED = {
    "phase": ("inference",),
    "context": ("isolated", "marginal", "in_network"),
    "cache": ("hot",),
    "dtype": ("float32",),
    "numeric_mode": ("default",),
    "execution": ("eager",),
}


class TorchCpuBackend:
    """Runs chains as `nn.Sequential`, and modules of this process."""

    name = "torch-cpu"
    accepts: tuple[type, ...] = (ChainWorkload, ModuleWorkload)

    def probe(self) -> str:
        return ""

    def fingerprint(self) -> DeviceFingerprint:
        software = {
            "torch": torch.__version__,
            "mkldnn": str(torch.backends.mkldnn.enabled),
            "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        }
        return DeviceFingerprint.of(self.name, cpu_hardware(), software)

    def circumstances(self) -> dict[str, str]:
        return host_circumstances()

    def resolve_policy(self, policy: MeasurementPolicy) -> MeasurementPolicy:
        require_supported(self.name, policy, ALLOWED)
        return policy

    def rank_quantum(self, policy: MeasurementPolicy) -> int:
        """oneDNN blocks channels by 16 where there is AVX-512, by 8 below; its plateaus are
        weak, so 16 is a grid rather than a law."""
        return 16

    def prepare(self, workload: Workload, policy: MeasurementPolicy) -> _Runner:
        if isinstance(workload, ChainWorkload):
            module = to_torch(workload.chain, random_weights(workload.chain))
            shape: Sequence[int] = (policy.batch, *workload.chain.input_shape)
            return _Runner(module, shape, policy.threads)
        if isinstance(workload, ModuleWorkload):
            return _Runner(workload.module, workload.input_shape, policy.threads)
        raise BackendError(f"{self.name} runs torch modules, not a {type(workload).__name__}")


class _Runner:
    """A module and its input. Nothing runs before the first `run`."""

    def __init__(self, module: torch.nn.Module, shape: Sequence[int], threads: int) -> None:
        self._module: torch.nn.Module | None = module
        self._input: torch.Tensor | None = torch.from_numpy(random_input(shape))
        self._threads = threads

    def run(self, loops: int) -> Mapping[str, float]:
        module, image = self._open(), self._input
        try:
            with _threads(self._threads), evaluating(module), torch.inference_mode():
                start = time.perf_counter_ns()
                for _ in range(loops):
                    module(image)
                elapsed = time.perf_counter_ns() - start
        except Exception as error:  # a user's module may raise anything
            raise MeasurementError(f"torch failed: {one_line(error)}", "run") from error
        return {"host": elapsed * 1e-9 / loops}

    def compute(self, inputs: Sequence[NDArray[Any]]) -> Arrays:
        return compute(self._open(), inputs)

    def close(self) -> None:
        self._module = self._input = None

    def _open(self) -> torch.nn.Module:
        if self._module is None:
            raise MeasurementError("the runner is closed", "run")
        return self._module


@contextmanager
def _threads(count: int) -> Iterator[None]:
    """Torch's threads belong to the process: set for the timing, then as they were."""
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
