"""The fake device: the contract, its arithmetic, its planted staircase, its mishaps."""

import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rankwise.backends.base import ChainWorkload, FileWorkload, ModuleWorkload
from rankwise.backends.fake import FakeBackend
from rankwise.ops.chain import Chain, random_weights
from rankwise.ops.onnx_writer import chain_model
from rankwise.ops.torch_writer import to_torch
from rankwise.records import LayerSpec, MeasurementPolicy
from rankwise.testing import BackendContract
from rankwise.testing.backend_cases import CHAINS

POLICY = MeasurementPolicy()


@pytest.mark.parametrize("opened", ["fake", "fake:step=8,jitter=0.1,seed=3"])
class TestContract(BackendContract):
    """With and without jitter."""


def pointwise(rank: int, channels: int = 64) -> Chain:
    """An SVD's chain: what a latency over rank is drawn for."""
    down = LayerSpec("conv2d", channels, rank, (channels, 10, 10), bias=False)
    up = LayerSpec("conv2d", rank, channels, (rank, 10, 10))
    return Chain((down, up))


def seconds(backend: FakeBackend, chain: Chain, batch: int = 1, loops: int = 1) -> float:
    runner = backend.prepare(ChainWorkload("c", chain), MeasurementPolicy(batch=batch))
    return runner.run(loops)["host"]


def test_time_by_hand() -> None:
    """Two launches of 5 us; 2 x 64 x 32 x 100 multiply-accumulates at 50e9 a second."""
    assert seconds(FakeBackend(), pointwise(20)) == pytest.approx(10e-6 + 409_600 / 50e9)
    backend = FakeBackend(step="1", launch_us="2.5", gmacs="1")
    assert seconds(backend, pointwise(20)) == pytest.approx(5e-6 + 256_000 / 1e9)


def test_int8_multiplies_twice_as_fast_and_converts_around_what_stays() -> None:
    backend, policy = FakeBackend(), MeasurementPolicy(dtype="int8")
    for floats, wanted in [
        ((), 10e-6 + 409_600 / 100e9),
        (((0, 2),), 15e-6 + 409_600 / 50e9),
        (((1, 2),), 15e-6 + 204_800 / 100e9 + 204_800 / 50e9),
    ]:
        workload = ChainWorkload("c", pointwise(20), floats=floats)
        assert backend.prepare(workload, policy).run(1)["host"] == pytest.approx(wanted)


@given(st.integers(1, 64), st.sampled_from([1, 4, 16, 24]))
def test_staircase_has_steps_of_that_width(rank: int, step: int) -> None:
    backend = FakeBackend(step=str(step))
    here, end = (seconds(backend, pointwise(r)) for r in (rank, -(-rank // step) * step))
    assert here == pytest.approx(end, rel=1e-12)
    assert seconds(backend, pointwise(rank + step)) > here


@pytest.mark.parametrize("chain", CHAINS.values(), ids=CHAINS)
def test_a_chain_takes_the_sum_of_its_links(chain: Chain) -> None:
    backend = FakeBackend()
    links = sum(seconds(backend, Chain((link,)), batch=4) for link in chain.links)
    assert seconds(backend, chain, batch=4) == pytest.approx(links, rel=1e-12)


def test_a_batch_is_launched_once() -> None:
    backend, chain = FakeBackend(), pointwise(16)
    one, four = seconds(backend, chain), seconds(backend, chain, batch=4)
    assert four - one == pytest.approx(3 * (one - 10e-6))


def test_seconds_are_for_one_execution() -> None:
    backend = FakeBackend()
    assert seconds(backend, pointwise(16), loops=7) == seconds(backend, pointwise(16))


@pytest.mark.parametrize("chain", CHAINS.values(), ids=CHAINS)
@pytest.mark.parametrize("batch", [1, 3])
def test_a_network_takes_what_its_chain_takes(chain: Chain, batch: int, tmp_path: Path) -> None:
    backend, weights = FakeBackend(step="4"), random_weights(chain)
    path, shape = tmp_path / "n.onnx", (batch, *chain.input_shape)
    path.write_bytes(chain_model(chain, weights, batch).SerializeToString())
    file = backend.prepare(FileWorkload("f", path, shape), POLICY).run(1)["host"]
    module = backend.prepare(ModuleWorkload("m", to_torch(chain, weights), shape), POLICY)
    wanted = pytest.approx(seconds(backend, chain, batch), rel=1e-12)
    assert (file, module.run(1)["host"]) == (wanted, wanted)


def test_a_module_keeps_its_mode_and_gets_no_hooks() -> None:
    module = torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.Dropout()).train()
    runner = FakeBackend().prepare(ModuleWorkload("m", module, (2, 4)), POLICY)
    runner.compute([np.ones((2, 4), np.float32)])
    assert module.training
    assert module[1].training
    assert not any(part._forward_hooks for part in module.modules())


def test_jitter_is_seeded_and_log_normal() -> None:
    def draws(seed: str) -> list[float]:
        runner = FakeBackend(jitter="0.05", seed=seed).prepare(
            ChainWorkload("c", pointwise(16)), POLICY
        )
        return [runner.run(1)["host"] for _ in range(400)]

    exact = seconds(FakeBackend(), pointwise(16))
    logs = np.log(np.array(draws("1")) / exact)
    assert draws("1") == draws("1") != draws("2")
    # Six standard errors of each, and the seed is fixed: this holds on every machine.
    assert abs(logs.mean()) < 6 * 0.05 / 20
    assert abs(logs.std() / 0.05 - 1) < 6 / 28


def test_options_that_change_time_make_another_device() -> None:
    plain = FakeBackend().fingerprint()
    for option, value in {"step": "8", "launch_us": "1", "gmacs": "2", "jitter": "0.1"}.items():
        assert FakeBackend(**{option: value}).fingerprint().hardware_key != plain.hardware_key
    for option in ("seed", "crash_at", "hang_at", "garbage"):
        assert FakeBackend(**{option: "1"}).fingerprint() == plain


@pytest.mark.parametrize(
    ("option", "value"),
    [
        *[("step", value) for value in ("0", "-4", "x")],
        *[("launch_us", value) for value in ("0", "inf", "x")],
        *[("gmacs", value) for value in ("nan", "-1")],
        *[("jitter", value) for value in ("-1", "nan")],
        ("seed", "1.5"),
    ],
    ids="=".join,
)
def test_senseless_options(option: str, value: str) -> None:
    with pytest.raises(ValueError, match=option):
        FakeBackend(**{option: value})


PROGRAM = """
import sys
from rankwise.backends.base import ChainWorkload
from rankwise.backends.registry import open_backend
from rankwise.ops.chain import Chain
from rankwise.records import LayerSpec, MeasurementPolicy
from rankwise.testing import BackendContract
from rankwise.testing.backend_cases import CHAINS
chain = Chain((LayerSpec("linear", 4, 4, (4,)),))
runner = open_backend(sys.argv[1]).prepare(ChainWorkload("c", chain), MeasurementPolicy())
for number in range(1, 4):
    runner.run(1)
    print("run", number, flush=True)
"""


def program(option: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-P", "-c", PROGRAM, f"fake:{option}"]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_crashes_when_told_to() -> None:
    done = program("crash_at=2")
    assert done.returncode < 0
    assert done.stdout.split() == ["run", "1"]


def test_prints_rubbish_when_told_to() -> None:
    done = program("garbage=1")
    assert done.returncode == 0
    assert done.stdout.count("rubbish") == 3


class Slept(Exception):
    pass


def test_hangs_when_told_to(monkeypatch: pytest.MonkeyPatch) -> None:
    naps = []

    def nap(duration: float) -> None:
        naps.append(duration)
        if len(naps) == 3:
            raise Slept

    monkeypatch.setattr(time, "sleep", nap)
    runner = FakeBackend(hang_at="2").prepare(ChainWorkload("c", pointwise(4)), POLICY)
    runner.run(1)
    assert not naps
    with pytest.raises(Slept):
        runner.run(1)
