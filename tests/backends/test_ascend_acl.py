"""The Ascend adapter on a strict fake of pyACL and atc: it has never run on a device."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from rankwise.backends.ascend_acl import AscendAclBackend
from rankwise.backends.base import ChainWorkload, random_input
from rankwise.errors import BackendError, MeasurementError
from rankwise.ops.chain import random_weights
from rankwise.ops.reference import reference
from rankwise.records import MeasurementPolicy
from rankwise.testing import BackendContract
from rankwise.testing.backend_cases import CHAINS

CHAIN = CHAINS["three links"]
WORKLOAD = ChainWorkload("c", CHAIN)
EVENTS_S = 2e-6
"""What the fake's device needs for the second event of a pair."""


def resolved(backend: AscendAclBackend, **changes: Any) -> MeasurementPolicy:
    return backend.resolve_policy(MeasurementPolicy(**changes))


class TestContract(BackendContract):
    tolerance = 1e-2  # atc computes float32 networks in float16 unless told otherwise

    @pytest.fixture
    def backend(self, backend: AscendAclBackend) -> AscendAclBackend:
        return backend


def test_float32_is_computed_as_such_when_asked(backend: AscendAclBackend) -> None:
    contract = BackendContract()
    exact = resolved(backend, numeric_mode="must_keep_origin_dtype")
    contract.require_function(backend, exact, CHAIN, 1e-5)
    with pytest.raises(AssertionError):
        contract.require_function(backend, resolved(backend), CHAIN, 1e-5)


# Both clocks


@pytest.mark.parametrize("loops", [1, 7])
def test_the_events_read_the_executions(cann: Any, backend: AscendAclBackend, loops: int) -> None:
    runner = backend.prepare(WORKLOAD, resolved(backend))
    seconds = runner.run(loops)
    (model,) = cann.models()
    expected = cann.device_s(model["path"]) + EVENTS_S / loops
    assert seconds["device"] == pytest.approx(expected, abs=40e-9)
    assert seconds["host"] >= expected * 0.999
    assert model["executions"] == 5 + loops
    runner.close()


def test_computing_is_not_timed_and_timing_does_not_depend_on_it(
    backend: AscendAclBackend,
) -> None:
    runner = backend.prepare(WORKLOAD, resolved(backend))
    image = random_input((1, *CHAIN.input_shape), seed=3)
    wanted = reference(CHAIN, random_weights(CHAIN), image)
    for _ in range(2):
        runner.run(2)
        np.testing.assert_allclose(runner.compute([image])[0], wanted, atol=2e-2)
    with pytest.raises(MeasurementError, match="does not fit the input"):
        runner.compute([image[:, :2]])
    runner.close()


# What is here, and what is not


def test_says_what_is_missing(
    cann: Any, finalize: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    backend = AscendAclBackend()
    monkeypatch.setenv("PATH", "/nowhere")
    for name in ("ASCEND_TOOLKIT_HOME", "ASCEND_HOME_PATH"):
        monkeypatch.delenv(name, raising=False)
    assert "atc is not on PATH" in backend.probe()
    monkeypatch.undo()
    assert AscendAclBackend(device="3").probe() == "there is no Ascend device 3, only 1"
    finalize()
    cann.off()
    assert backend.probe() == "the module acl is not here: source CANN's set_env.sh first"


def test_a_missing_library_is_a_reason(cann: Any) -> None:
    cann.configure(**{"import": "missing_library"})
    assert "libascendcl.so" in AscendAclBackend().probe()


def test_an_unknown_chip_is_a_reason(cann: Any) -> None:
    cann.configure(soc="none")
    assert "get_soc_name" in AscendAclBackend().probe()


def test_an_initialisation_that_fails_is_a_reason(cann: Any) -> None:
    cann.configure(faults="acl.init:1=148049")
    assert "INVALID_OPP_PATH" in AscendAclBackend().probe()
    assert AscendAclBackend().probe() == ""


@pytest.mark.parametrize("version", ["8.0.0", "8.5.0"])
def test_the_fingerprint_names_chip_and_versions(cann: Any, version: str) -> None:
    cann.configure(version=version)
    found = AscendAclBackend().fingerprint()
    hardware, software = dict(found.hardware), dict(found.software)
    assert (hardware["chip"], hardware["memory_gib"]) == ("Ascend910B4", "32")
    assert software["cann"] == version


def test_policies(backend: AscendAclBackend) -> None:
    found = resolved(backend, threads=4)
    assert (found.dtype, found.numeric_mode, found.threads) == ("float32", "force_fp16", 0)
    assert backend.rank_quantum(found) == 16
    assert backend.rank_quantum(MeasurementPolicy(dtype="int8")) == 32
    with pytest.raises(BackendError, match="own tool"):
        resolved(backend, dtype="int8")
    with pytest.raises(BackendError, match="force_fp16"):
        resolved(backend, numeric_mode="ieee")


def test_bfloat16_depends_on_the_chip(cann: Any) -> None:
    cann.configure(soc="Ascend910A")
    with pytest.raises(BackendError, match="Ascend910A has no bfloat16"):
        resolved(AscendAclBackend(), dtype="bfloat16")
