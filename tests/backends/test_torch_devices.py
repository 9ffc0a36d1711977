"""Torch's other devices: contracts that skip where there is none, and what needs no device."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import pytest
import torch

from rankwise.backends.base import ChainWorkload
from rankwise.backends.clocks import Clock, EventClock, Step
from rankwise.backends.torch_common import TorchBackend
from rankwise.backends.torch_cpu import Processor
from rankwise.backends.torch_cuda import CudaDevice, TorchCudaBackend, numeric_switches
from rankwise.backends.torch_execution import Execution
from rankwise.errors import BackendError
from rankwise.records import MeasurementPolicy
from rankwise.testing import BackendContract
from rankwise.testing.backend_cases import CHAINS, require_timings


@pytest.mark.parametrize("opened", ["torch-cuda", "torch-cuda:execution=graph+channels_last"])
class TestCudaContract(BackendContract):
    """Eager, and as a graph that is replayed."""


@pytest.mark.parametrize("opened", ["torch-cuda:numeric=tf32", "torch-npu"])
class TestContractWithFewerBits(BackendContract):
    tolerance = 5e-3


@pytest.mark.parametrize("opened", ["torch-mps"])
class TestMpsContract(BackendContract):
    tolerance = 1e-3


# Policies


def test_cuda_fills_in_what_was_left_open() -> None:
    found = TorchCudaBackend().resolve_policy(MeasurementPolicy(threads=4))
    assert (found.execution, found.numeric_mode, found.threads) == ("eager", "ieee", 0)
    backend = TorchCudaBackend(execution="graph+cudnn_benchmark+channels_last", numeric="tf32")
    found = backend.resolve_policy(MeasurementPolicy())
    assert found.execution == "graph+channels_last+cudnn_benchmark"
    assert found.numeric_mode == "tf32"
    assert backend.resolve_policy(found) == found
    assert TorchCudaBackend().resolve_policy(found) == found, "the policy says it all"


def test_halves_are_multiplied_one_way_only() -> None:
    backend = TorchCudaBackend(numeric="tf32")
    half = MeasurementPolicy(dtype="float16")
    assert backend.resolve_policy(half).numeric_mode == "default"
    with pytest.raises(BackendError, match="'tf32' in float16"):
        backend.resolve_policy(MeasurementPolicy(dtype="float16", numeric_mode="tf32"))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"execution": "graph+magic"}, "'magic'"),
        ({"numeric_mode": "fp8"}, "ieee, tf32"),
        ({"threads": -1}, "threads"),
        ({"frozen": "first"}, "training"),
        ({"phase": "training", "frozen": "layer1.*"}, "first, last, inner"),
    ],
    ids=str,
)
def test_cuda_refuses(change: dict[str, Any], words: str) -> None:
    with pytest.raises(BackendError, match=words):
        TorchCudaBackend().resolve_policy(MeasurementPolicy(**change))


def test_old_gpus_have_no_bfloat16(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = MeasurementPolicy(dtype="bfloat16")
    monkeypatch.setattr(CudaDevice, "absent", lambda _self: "")
    monkeypatch.setattr(CudaDevice, "_capability", lambda _self: (7, 5))
    with pytest.raises(BackendError, match="no bfloat16 tensor cores"):
        TorchCudaBackend().resolve_policy(asked)
    monkeypatch.setattr(CudaDevice, "_capability", lambda _self: (8, 0))
    assert TorchCudaBackend().resolve_policy(asked).dtype == "bfloat16"


@pytest.mark.parametrize("text", ["eager", "graph", "compiled+channels_last+cudnn_benchmark"])
def test_an_execution_has_one_text(text: str) -> None:
    way, *switches = text.split("+")
    assert str(Execution.of("+".join([way, *reversed(switches)]))) == text


# Switches of the library


def switches() -> tuple[str, str, bool]:
    backends = torch.backends
    matmul = backends.cuda.matmul
    return backends.cudnn.conv.fp32_precision, matmul.fp32_precision, backends.cudnn.benchmark


@pytest.mark.parametrize(("mode", "wanted"), [("ieee", "ieee"), ("tf32", "tf32")])
def test_numeric_switches_are_put_back(mode: str, wanted: str) -> None:
    before = switches()

    def fail_inside() -> None:
        with numeric_switches(mode, benchmark=True):
            assert switches() == (wanted, wanted, True)
            raise RuntimeError("stop")

    with pytest.raises(RuntimeError, match="stop"):
        fail_inside()
    assert switches() == before


# A device made of the processor: what `TorchRunner` does with clocks, caches and graphs


class Pretended(Processor):
    """The processor with everything that a GPU has, and a log of what is asked of it."""

    name = "pretended"
    ways = ("eager", "graph")
    caches = ("hot", "cold")
    has_threads = False
    warm_ups = 2

    def __init__(self) -> None:
        self.log: list[str] = []
        self.inside = 0

    def clock(self) -> Clock:
        return EventClock(lambda: PretendedEvent(self), lambda: self.note("synchronize"))

    def note(self, what: str) -> None:
        assert self.inside, f"{what} outside of the environment"
        self.log.append(what)

    @contextmanager
    def environment(self, _policy: MeasurementPolicy) -> Iterator[None]:
        self.inside += 1
        try:
            yield
        finally:
            self.inside -= 1

    def clear_cache(self) -> Step:
        return lambda: self.note("clear")

    def captured(self, step: Step, _between: Step | None) -> Step:
        self.note("capture")

        self.captured_step = weakref.ref(step)  # CUDA's graph keeps no tensor alive, either

        def replay() -> None:
            self.note("replay")
            self.captured_step()()

        return replay


class PretendedEvent:
    def __init__(self, device: Pretended) -> None:
        self.device = device

    def record(self) -> None:
        self.device.note("record")

    def elapsed_time(self, _end_event: object) -> float:
        return 1.0


def pretended(**policy: Any) -> tuple[Pretended, Any]:
    device = Pretended()
    backend = TorchBackend(device)
    asked = backend.resolve_policy(MeasurementPolicy(**policy))
    return device, backend.prepare(ChainWorkload("c", CHAINS["three links"]), asked)


@pytest.mark.parametrize("phase", ["inference", "training"])
@pytest.mark.parametrize("cache", ["hot", "cold"])
@pytest.mark.parametrize("execution", ["eager", "graph"])
def test_every_combination_is_timed(phase: str, cache: str, execution: str) -> None:
    _, runner = pretended(phase=phase, cache=cache, execution=execution)
    require_timings(runner)
    assert runner.run(4)["device"] in (1e-3, 1e-3 / 4)


def test_a_cold_cache_is_cleared_before_each_execution_and_outside_the_events() -> None:
    device, runner = pretended(cache="cold", execution="graph")
    device.log.clear()
    runner.run(2)
    once = ["clear", "synchronize", "record", "replay", "record", "synchronize"]
    assert device.log == once * 2


def test_a_graph_is_captured_once_after_warming_up() -> None:
    device, runner = pretended(execution="graph")
    assert device.log == ["capture"]
    runner.run(3)
    assert device.log[1:] == ["synchronize", "record", *["replay"] * 3, "record", "synchronize"]


def test_a_graph_keeps_the_tensors_that_it_replays_on() -> None:
    """Freed memory would be given to others while the graph still reads and writes it."""
    _, runner = pretended(execution="graph", phase="training")
    step = weakref.ref(runner._captured_from)
    gc.collect()
    assert step() is not None
    assert step()._inputs is not None
    runner.close()
    gc.collect()
    assert step() is None


# Capturing, with CUDA's graphs replaced by a recorder


class Recorder:
    """As much of `torch.cuda` as capturing needs."""

    def __init__(self) -> None:
        self.log: list[str] = []

    def patch(self, monkeypatch: pytest.MonkeyPatch) -> None:
        names: Mapping[str, Any] = {
            "Stream": lambda: Stream(self, "side"),
            "current_stream": lambda: Stream(self, "current"),
            "CUDAGraph": lambda: Graph(self),
            "stream": lambda stream: self.inside(f"on {stream.name}"),
            "graph": lambda _graph: self.inside("capturing"),
        }
        for name, value in names.items():
            monkeypatch.setattr(torch.cuda, name, value)

    @contextmanager
    def inside(self, what: str) -> Iterator[None]:
        self.log.append(f"begin {what}")
        yield
        self.log.append(f"end {what}")


class Stream:
    def __init__(self, recorder: Recorder, name: str) -> None:
        self.recorder, self.name = recorder, name

    def wait_stream(self, other: Stream) -> None:
        self.recorder.log.append(f"{self.name} waits for {other.name}")


class Graph:
    def __init__(self, recorder: Recorder) -> None:
        self.recorder = recorder

    def replay(self) -> None:
        self.recorder.log.append("replay")


def test_capturing_warms_up_on_a_stream_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    recorder = Recorder()
    recorder.patch(monkeypatch)
    log = recorder.log
    replay = CudaDevice(0).captured(lambda: log.append("step"), lambda: log.append("between"))
    replay()
    assert log == [
        "side waits for current",
        "begin on side",
        *["between", "step"] * 3,
        "end on side",
        "current waits for side",
        "between",
        "begin capturing",
        "step",
        "end capturing",
        "replay",
    ]
