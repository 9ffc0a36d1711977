"""The training phase, frozen sets, and `torch.compile`, on the processor."""

from __future__ import annotations

import functools
import shutil
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from rankwise.backends.base import ChainWorkload, ModuleWorkload
from rankwise.backends.torch_common import TorchRunner
from rankwise.backends.torch_cpu import TorchCpuBackend
from rankwise.errors import BackendError, MeasurementError
from rankwise.records import MeasurementPolicy
from rankwise.testing.backend_cases import CHAINS, require_timings


def trained(
    name: str = "linear", input_gradient: bool = True, frozen: str = "", dtype: str = "float32"
) -> TorchRunner:
    backend = TorchCpuBackend()
    asked = MeasurementPolicy(phase="training", frozen=frozen, dtype=dtype, batch=2)
    policy = backend.resolve_policy(asked)
    return backend.prepare(ChainWorkload("c", CHAINS[name], input_gradient), policy)


def step_of(runner: TorchRunner) -> Any:
    """The runner's training step, after one execution whose gradients are still there."""
    runner.run(1)
    return runner._step


def test_gradients_are_those_of_the_definition() -> None:
    """Two linear links without activation: y = (x A') B' + b, so dB = u'(x A'), dA = (u B)'x."""
    step = step_of(trained("linear"))
    (upstream,), image = step._upstream, step._inputs[0]
    first, second = step._trained[0], step._trained[1]
    hidden = image.detach() @ first.detach().T
    np.testing.assert_allclose(second.grad, upstream.T @ hidden, rtol=1e-4)
    back = upstream @ second.detach()
    np.testing.assert_allclose(first.grad, back.T @ image.detach(), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(step._trained[2].grad, upstream.sum(0), rtol=1e-4)
    np.testing.assert_allclose(image.grad, back @ first.detach(), rtol=1e-4, atol=1e-5)


def test_a_networks_first_layer_needs_no_gradient_of_its_input() -> None:
    assert step_of(trained(input_gradient=True))._inputs[0].grad is not None
    assert step_of(trained(input_gradient=False))._inputs[0].grad is None


def test_gradients_are_dropped_before_each_execution() -> None:
    """So that none is added to the one before: three steps leave what one leaves."""
    runner = trained()
    once = [parameter.grad.clone() for parameter in step_of(runner)._trained]
    runner.run(3)
    assert all(torch.equal(a, b.grad) for a, b in zip(once, step_of(runner)._trained, strict=True))


def test_the_optimizer_does_its_work_and_leaves_the_weights() -> None:
    runner = trained()
    before = [parameter.detach().clone() for parameter in runner._open().parameters()]
    step = step_of(runner)
    runner.run(4)
    state = step._optimizer.state
    assert all("momentum_buffer" in state[parameter] for parameter in step._trained)
    after = list(runner._open().parameters())
    assert all(torch.equal(a, b) for a, b in zip(before, after, strict=True))


@pytest.mark.parametrize(
    ("frozen", "left"), [("", [0, 1, 2]), ("first", [1, 2]), ("last", [0, 1]), ("inner", [0, 2])]
)
def test_frozen_links_get_no_gradient(frozen: str, left: list[int]) -> None:
    runner = trained("three links", frozen=frozen)
    runner.run(1)
    links = [part for part in runner._open() if isinstance(part, nn.Conv2d)]
    assert [i for i, link in enumerate(links) if link.weight.grad is not None] == left


def test_a_layer_that_is_not_decomposed_is_never_frozen() -> None:
    step = step_of(trained("convolution", frozen="first"))
    assert len(step._trained) == 2


def network() -> nn.Sequential:
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 2, 1))
    return net.eval()


def train_network(net: nn.Module, frozen: str = "") -> TorchRunner:
    backend = TorchCpuBackend()
    asked = MeasurementPolicy(phase="training", context="in_network", frozen=frozen)
    return backend.prepare(ModuleWorkload("m", net, (2, 3, 8, 8)), backend.resolve_policy(asked))


def test_training_works_on_a_copy() -> None:
    net = network()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    runner = train_network(net)
    require_timings(runner)
    assert runner._open().training
    assert not net.training
    assert all(torch.equal(before[name], value) for name, value in net.state_dict().items())
    assert all(parameter.grad is None for parameter in net.parameters())


def test_frozen_parameters_of_a_network_are_named_by_patterns() -> None:
    step = step_of(train_network(network(), "0.*, *.bias"))
    assert [tuple(p.shape) for p in step._trained] == [(4,), (2, 4, 1, 1)]


def test_nothing_left_to_train_is_refused() -> None:
    with pytest.raises(MeasurementError, match="everything is frozen") as caught:
        train_network(network(), "*")
    assert caught.value.stage == "prepare"


def test_training_in_bfloat16() -> None:
    try:
        runner = trained("three links", dtype="bfloat16")
    except BackendError as error:
        pytest.skip(str(error))
    assert {p.grad.dtype for p in step_of(runner)._trained} == {torch.bfloat16}


# Compiled, with a compiler that only traces: what is kept, and what is noticed


@pytest.fixture
def tracing(monkeypatch: pytest.MonkeyPatch) -> None:
    torch._dynamo.reset()
    monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend="eager"))


def compiled(name: str, phase: str = "inference") -> TorchRunner:
    backend = TorchCpuBackend(execution="compiled")
    policy = backend.resolve_policy(MeasurementPolicy(phase=phase))  # type: ignore[arg-type]
    assert policy.execution == "compiled"
    return backend.prepare(ChainWorkload(name, CHAINS[name]), policy)


@pytest.mark.usefixtures("tracing")
@pytest.mark.parametrize("phase", ["inference", "training"])
def test_many_modules_stay_compiled(phase: str) -> None:
    """Dynamo would run the ninth `nn.Sequential` eagerly, and say so in a log only. A runner
    that compiles while it is timed fails, so this fails if one was dropped."""
    names = ["convolution", "linear", "three links", "groups", "dilation", "depthwise"]
    runners = [compiled(name, phase) for name in names * 2]
    for runner in (*runners, *reversed(runners)):
        require_timings(runner)


@pytest.mark.usefixtures("tracing")
def test_compiling_in_a_timing_is_a_failure() -> None:
    runner = compiled("linear")
    runner._step._inputs = [torch.zeros(7, 9)]  # another shape than it was compiled for
    with pytest.raises(MeasurementError, match="recompile") as caught:
        runner.run(1)
    assert caught.value.stage == "run"


@pytest.mark.slow
@pytest.mark.parametrize("phase", ["inference", "training"])
def test_compiled_for_real(phase: str) -> None:
    if reason := TorchCpuBackend(execution="compiled").probe():
        pytest.skip(reason)
    torch._dynamo.reset()
    runner = compiled("three links", phase)
    require_timings(runner)
    images = np.ones((1, *CHAINS["three links"].input_shape), np.float32)
    plain = TorchCpuBackend().prepare(
        ChainWorkload("c", CHAINS["three links"]), MeasurementPolicy()
    )
    np.testing.assert_allclose(
        runner.compute([images])[0], plain.compute([images])[0], rtol=1e-4, atol=1e-5
    )


def test_compiling_needs_a_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda _name: None)
    assert "C++ compiler" in TorchCpuBackend(execution="compiled").probe()
    assert TorchCpuBackend().probe() == ""
