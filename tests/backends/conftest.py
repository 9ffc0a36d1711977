"""Absent backends skip once, and what the tests of the Ascend adapter share."""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import numpy as np
import pytest

from rankwise.backends.acl_device import process_of
from rankwise.backends.ascend_acl import AscendAclBackend
from rankwise.backends.base import ChainWorkload, random_input
from rankwise.backends.registry import open_backend
from rankwise.ops.chain import random_weights
from rankwise.ops.reference import reference
from rankwise.records import MeasurementPolicy
from rankwise.testing.backend_cases import CHAINS

EVENTS_S = 2e-6
"""What the fake's device needs for the second event of a pair."""
LOOPS = 10


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Of a backend that is not here one test of the contract is left, and skips with the reason."""
    kept: list[pytest.Item] = []
    dropped: list[pytest.Item] = []
    already: set[tuple[object, str]] = set()
    for item in items:
        opened = _absent_backend(item)
        key = getattr(item, "cls", None), opened
        (dropped if opened and key in already else kept).append(item)
        already.add(key)
    if dropped:
        config.hook.pytest_deselected(items=dropped)
        items[:] = kept


def _absent_backend(item: pytest.Item) -> str:
    """What the test would open, if it needs a device that is not here; else empty."""
    call = getattr(item, "callspec", None)
    opened = call.params.get("opened", "") if call else ""
    needs_device = "usable" in getattr(item, "fixturenames", ())
    return opened if opened and needs_device and _reason(opened) else ""


@cache
def _reason(opened: str) -> str:
    return open_backend(opened).probe()


# The Ascend adapter, on a strict fake of pyACL and atc


@pytest.fixture
def finalize() -> Callable[[], None]:
    """Ends the use of pyACL in this process."""

    def end() -> None:
        if acl := sys.modules.get("acl"):
            process_of(acl).stop()

    return end


@pytest.fixture
def finalized(request: pytest.FixtureRequest, finalize: Callable[[], None]) -> Iterator[None]:
    """The fake is on; afterwards the process is finalized, whatever a mistake has left."""
    request.getfixturevalue("fake_cann")
    yield
    finalize()


@pytest.fixture
def cann(fake_cann: Any, finalize: Callable[[], None]) -> Iterator[Any]:
    """The fake; afterwards the process is finalized, and nothing may be left."""
    yield fake_cann
    finalize()
    fake_cann.assert_clean()


@pytest.fixture(scope="module")
def om_cache(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A cache of compiled models that tests share, because even a fake atc takes its time."""
    return str(tmp_path_factory.mktemp("om"))


@pytest.fixture
def backend(request: pytest.FixtureRequest, om_cache: str) -> AscendAclBackend:
    request.getfixturevalue("cann")
    return AscendAclBackend(cache=om_cache)


@pytest.fixture
def wrong_in_a_life() -> Callable[[Any, AscendAclBackend], list[str]]:
    """Says all that is wrong with a whole life of a runner, in words."""

    def wrong(cann: Any, backend: AscendAclBackend) -> list[str]:
        findings = []
        try:
            findings += _lived(cann, backend)
        except Exception as error:
            findings.append(f"{type(error).__name__}: {error}")
        gc.collect()
        process_of(cann.acl).stop()
        return [*findings, *cann.leaks(), *cann.violations()]

    return wrong


def _lived(cann: Any, backend: AscendAclBackend) -> list[str]:
    findings, chain = [], CHAINS["convolution"]
    policy = backend.resolve_policy(MeasurementPolicy())
    runner = backend.prepare(ChainWorkload("c", chain), policy)
    seconds = runner.run(LOOPS)
    true = cann.device_s(cann.models()[-1]["path"]) + EVENTS_S / LOOPS
    if seconds["device"] != pytest.approx(true, abs=40e-9):
        findings.append(f"device clock {seconds['device']} instead of {true}")
    if seconds["host"] < true * 0.99:
        findings.append(f"host clock {seconds['host']} below {true}")
    image = random_input((1, *chain.input_shape), seed=4)
    wanted = reference(chain, random_weights(chain), image)
    (output,) = runner.compute([image])
    if not np.abs(output - wanted).max() <= 1e-2 * np.abs(wanted).max():
        findings.append("a wrong output")
    runner.close()
    return findings
