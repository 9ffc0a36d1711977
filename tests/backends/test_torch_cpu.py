"""PyTorch on the processor: the contract, and modules that belong to somebody else."""

import time
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from torch import nn

from rankwise.backends.base import ChainWorkload, ModuleWorkload
from rankwise.backends.torch_cpu import TorchCpuBackend
from rankwise.errors import BackendError, MeasurementError
from rankwise.ops.chain import random_weights
from rankwise.ops.reference import reference
from rankwise.records import MeasurementPolicy
from rankwise.testing import BackendContract
from rankwise.testing.backend_cases import CHAINS

POLICY = TorchCpuBackend().resolve_policy(MeasurementPolicy())


@pytest.mark.parametrize("opened", ["torch-cpu"])
class TestContract(BackendContract):
    """Eager; `compiled` is tried in test_torch_training.py."""


class Telltale(nn.Module):
    """Tells how it was called; fails when told to."""

    def __init__(self, error: Exception | None = None) -> None:
        super().__init__()
        self.drop, self.error = nn.Dropout(0.5), error
        self.seen: list[tuple[int, bool, bool]] = []

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        if self.error:
            raise self.error
        self.seen.append(
            (torch.get_num_threads(), self.drop.training, torch.is_inference_mode_enabled())
        )
        return self.drop(x)


@pytest.fixture
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def prepared(module: nn.Module, threads: int = 1):
    workload = ModuleWorkload("m", module, (2, 3))
    return TorchCpuBackend().prepare(workload, MeasurementPolicy(threads=threads))


def test_execution_is_eager() -> None:
    assert POLICY.execution == "eager"


def test_fingerprint_names_the_version() -> None:
    assert dict(TorchCpuBackend().fingerprint().software)["torch"] == torch.__version__


@pytest.mark.parametrize("change", [{"execution": "graph"}, {"cache": "cold"}], ids=str)
def test_what_is_not_done_yet(change: dict[str, str]) -> None:
    with pytest.raises(BackendError, match="only"):
        TorchCpuBackend().resolve_policy(MeasurementPolicy(**change))


@pytest.mark.usefixtures("one_thread")
def test_runs_as_often_as_asked_with_the_threads_asked() -> None:
    module = Telltale().train()
    prepared(module, threads=2).run(3)
    assert module.seen == [(2, False, True)] * 3
    assert torch.get_num_threads() == 1


def test_a_module_keeps_its_mode() -> None:
    module = nn.Sequential(nn.Dropout(0.5), nn.BatchNorm1d(3)).train()
    module[1].eval()
    runner = prepared(module)
    assert runner.run(2)["host"] > 0
    runner.compute([np.ones((2, 3), np.float32)])
    runner.close()
    assert [part.training for part in module.modules()] == [True, True, False]


def test_int8_is_refused_with_the_reason() -> None:
    with pytest.raises(BackendError, match=r"cannot compute in int8: .* onnxruntime-cpu times"):
        TorchCpuBackend().resolve_policy(MeasurementPolicy(dtype="int8"))


def test_a_module_keeps_its_dtype_and_layout() -> None:
    """What the policy does not ask to change is timed as its owner made it."""
    module = nn.Conv2d(3, 4, 3).to(torch.float64).to(memory_format=torch.channels_last)
    layout = module.weight.stride()
    workload = ModuleWorkload("m", module, (2, 3, 8, 8))
    with pytest.raises(MeasurementError):  # the input is float32
        TorchCpuBackend().prepare(workload, MeasurementPolicy()).run(1)
    half = MeasurementPolicy(execution="eager+channels_last")
    assert TorchCpuBackend().prepare(workload, half).run(1)["host"] > 0
    assert module.weight.dtype == torch.float64
    assert module.weight.stride() == layout


@pytest.mark.parametrize("name", ["one axis", "three axes", "transposed volume"])
def test_channels_last_of_other_than_pictures(name: str) -> None:
    """A volume's channels come last, too; a sequence has no such layout."""
    policy = TorchCpuBackend().resolve_policy(MeasurementPolicy(execution="eager+channels_last"))
    chain = CHAINS[name]
    images = np.random.default_rng(0).standard_normal((1, *chain.input_shape), np.float32)
    runner = TorchCpuBackend().prepare(ChainWorkload("c", chain), policy)
    (found,) = runner.compute([images])
    wanted = reference(chain, random_weights(chain), images)
    np.testing.assert_allclose(found, wanted, atol=1e-4)
    assert runner.run(1)["host"] > 0


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize(
    "error", [RuntimeError("out\nof\nmemory"), TypeError("no"), AssertionError()], ids=repr
)
def test_whatever_a_module_raises_is_a_failure_with_a_reason(error: Exception) -> None:
    module = Telltale(error).train()
    runner = prepared(module, threads=2)
    for failing in (lambda: runner.run(1), lambda: runner.compute([np.ones((2, 3))])):
        with pytest.raises(MeasurementError, match=r"^torch failed: \w[^\n]*$") as caught:
            failing()
        assert caught.value.stage == "run"
    assert module.training
    assert torch.get_num_threads() == 1


def test_outputs_are_arrays_in_order() -> None:
    class Two(nn.Module):
        def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            return x + 1, x * 2

    first, second = prepared(Two()).compute([np.full((2, 3), 3.0)])
    assert (first == 4).all()
    assert (second == 6).all()


def test_other_outputs_than_tensors_are_refused() -> None:
    class Text(nn.Module):
        def forward(self, _x: torch.Tensor) -> str:
            return "text"

    with pytest.raises(MeasurementError, match="tensors"):
        prepared(Text()).compute([np.ones((2, 3))])


def test_the_batch_of_the_policy_is_run() -> None:
    chain = CHAINS["linear"]
    runner = TorchCpuBackend().prepare(ChainWorkload("c", chain), MeasurementPolicy(batch=5))
    shapes = []
    runner._open().register_forward_hook(lambda _m, _i, output: shapes.append(output.shape))
    runner.run(1)
    assert shapes == [(5, *chain.output_shape)]


def test_seconds_are_for_one_execution(monkeypatch: pytest.MonkeyPatch) -> None:
    runner = prepared(Telltale().eval())
    readings = iter([1_000, 7_000])
    monkeypatch.setattr(time, "perf_counter_ns", lambda: next(readings))
    assert runner.run(3) == pytest.approx({"host": 2e-6})
