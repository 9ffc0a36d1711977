"""Facts about NVIDIA GPUs, asked of a library that stands in for NVML."""

from __future__ import annotations

import sys
from importlib.machinery import ModuleSpec
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from rankwise.backends import nvidia
from rankwise.backends.boards import board_id
from rankwise.backends.onnxruntime_providers import PROVIDERS, OnnxRuntimeBackend


class Nvml(ModuleType):
    """As much of `pynvml` as is used; counts how often it is opened and closed."""

    NVML_CLOCK_SM = NVML_TEMPERATURE_GPU = 0

    def __init__(self) -> None:
        super().__init__("pynvml")
        self.__spec__ = ModuleSpec("pynvml", loader=None)  # an import and `find_spec` look at it
        self.open = 0

    def _count(self, change: int) -> None:
        self.open += change

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # asked by the import system
            raise AttributeError(name)
        changes = {"nvmlInit": 1, "nvmlShutdown": -1}
        if name in changes:
            return lambda: self._count(changes[name])
        assert self.open == 1, f"{name} before nvmlInit"
        answers: dict[str, Any] = {
            "nvmlDeviceGetCount": 2,
            "nvmlDeviceGetHandleByIndex": "handle",
            "nvmlDeviceGetUUID": "GPU-0a1b",
            "nvmlDeviceGetName": b"NVIDIA H100 80GB HBM3",
            "nvmlDeviceGetMemoryInfo": SimpleNamespace(total=80 * 2**30 - 10**8),
            "nvmlDeviceGetCudaComputeCapability": (9, 0),
            "nvmlSystemGetDriverVersion": "580.95.05",
            "nvmlDeviceGetClockInfo": 1980,
            "nvmlDeviceGetTemperature": 41,
            "nvmlDeviceGetUtilizationRates": SimpleNamespace(gpu=7),
        }
        if name not in answers:
            raise RuntimeError("Not Supported")
        return lambda *_arguments: answers[name]


@pytest.fixture
def nvml(monkeypatch: pytest.MonkeyPatch) -> Nvml:
    stand_in = Nvml()
    monkeypatch.setitem(sys.modules, "pynvml", stand_in)
    return stand_in


def test_facts(nvml: Nvml) -> None:
    assert nvidia.gpu_hardware(0) == {
        "chip": "NVIDIA H100 80GB HBM3",
        "memory_gib": "80",
        "isa": "sm_90",
    }
    assert nvidia.driver_version() == "580.95.05"
    assert nvml.open == 0


@pytest.mark.usefixtures("nvml")
def test_run_metadata_are_those_that_it_tells() -> None:
    """This one does not tell its power."""
    assert nvidia.gpu_run_metadata(0) == {
        "gpu_mhz": "1980",
        "gpu_celsius": "41",
        "gpu_load": "7",
    }


@pytest.mark.usefixtures("nvml")
def test_a_board_is_its_number_hashed() -> None:
    assert nvidia.gpu_board(0) == board_id("gpu", "0a1b")
    assert "0a1b" not in str(nvidia.gpu_board(0))


@pytest.mark.usefixtures("nvml")
def test_which_gpus_there_are() -> None:
    assert nvidia.absent(1) == ""
    assert nvidia.absent(2) == "there is no GPU 2, only 2"


def test_without_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert "pip install 'rankwise[cuda]'" in nvidia.absent(0)
    assert nvidia.driver_version() == "unknown"
    assert nvidia.gpu_run_metadata(0) == {}
    assert nvidia.gpu_board(0) is None


def test_without_a_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_driver() -> None:
        raise OSError("NVML Shared Library Not Found")

    stand_in = Nvml()
    monkeypatch.setattr(stand_in, "nvmlInit", no_driver)
    monkeypatch.setitem(sys.modules, "pynvml", stand_in)
    assert nvidia.absent(0) == "no NVIDIA driver answers: NVML Shared Library Not Found"


@pytest.mark.usefixtures("nvml")
def test_a_gpu_behind_onnx_runtime_is_told_apart() -> None:
    found = OnnxRuntimeBackend(PROVIDERS["cuda"]).fingerprint()
    assert dict(found.hardware)["chip"] == "NVIDIA H100 80GB HBM3"
    assert dict(found.software)["driver"] == "580.95.05"
