"""Facts about NVIDIA GPUs by NVML, for the fingerprints of backends that compute on them.

The package `nvidia-ml-py` (module `pynvml`) is in the extra `cuda`. Without it GPUs cannot be
told apart by a runtime that does not name them, so such a backend says that it is missing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from .boards import board_id

MISSING = "the package nvidia-ml-py is missing: pip install 'rankwise[cuda]'"


def absent(index: int) -> str:
    """Why GPU `index` cannot be asked; empty if it can."""
    try:
        with _nvml() as nvml:
            count = nvml.nvmlDeviceGetCount()
    except ImportError:
        return MISSING
    except Exception as error:  # NVML's own tree of errors: no driver, no permission ...
        return f"no NVIDIA driver answers: {error}"
    return "" if index < count else f"there is no GPU {index}, only {count}"


def gpu_hardware(index: int) -> dict[str, str]:
    """Chip, SMs' architecture and memory in GiB of GPU `index`, by NVML's numbering."""
    with _nvml() as nvml:
        handle = nvml.nvmlDeviceGetHandleByIndex(index)
        major, minor = nvml.nvmlDeviceGetCudaComputeCapability(handle)
        return {
            "chip": _text(nvml.nvmlDeviceGetName(handle)),
            "memory_gib": str(round(nvml.nvmlDeviceGetMemoryInfo(handle).total / 2**30)),
            "isa": f"sm_{major}{minor}",
        }


def gpu_board(index: int) -> str | None:
    """Id of GPU `index` among all GPUs. Torch tells the same number without the word before it."""
    with suppress(Exception), _nvml() as nvml:
        handle = nvml.nvmlDeviceGetHandleByIndex(index)
        return board_id("gpu", _text(nvml.nvmlDeviceGetUUID(handle)).removeprefix("GPU-"))
    return None


def driver_version() -> str:
    """Of the kernel's driver; `unknown` where NVML is not there."""
    with suppress(Exception), _nvml() as nvml:
        return _text(nvml.nvmlSystemGetDriverVersion())
    return "unknown"


def gpu_run_metadata(index: int) -> dict[str, str]:
    """Clock, temperature, power and load as they are now: those that NVML tells."""
    found: dict[str, str] = {}
    with suppress(Exception), _nvml() as nvml:
        handle = nvml.nvmlDeviceGetHandleByIndex(index)
        asked: dict[str, Callable[[], Any]] = {
            "gpu_mhz": lambda: nvml.nvmlDeviceGetClockInfo(handle, nvml.NVML_CLOCK_SM),
            "gpu_celsius": lambda: nvml.nvmlDeviceGetTemperature(handle, nvml.NVML_TEMPERATURE_GPU),
            "gpu_milliwatts": lambda: nvml.nvmlDeviceGetPowerUsage(handle),
            "gpu_load": lambda: nvml.nvmlDeviceGetUtilizationRates(handle).gpu,
        }
        for name, ask in asked.items():
            with suppress(Exception):  # not every GPU tells everything
                found[name] = str(ask())
    return found


@contextmanager
def _nvml() -> Iterator[Any]:
    import pynvml

    pynvml.nvmlInit()
    try:
        yield pynvml
    finally:
        pynvml.nvmlShutdown()


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
