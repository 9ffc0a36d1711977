"""Two hundred random faults: what failed is said, what was measured is right, nothing is left."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rankwise.backends.acl_device import process_of
from rankwise.backends.ascend_acl import AscendAclBackend
from rankwise.backends.base import ChainWorkload, random_input
from rankwise.errors import MeasurementError
from rankwise.ops.chain import random_weights
from rankwise.ops.reference import reference
from rankwise.profiler.executor import LocalExecutor
from rankwise.profiler.session import RoundDone, WorkloadFailed, run_session
from rankwise.records import Effort, MeasurementPolicy
from rankwise.testing.backend_cases import CHAINS

SEEDS = range(200)
RATES = (0.001, 0.005, 0.02)
EFFORT = Effort(min_rounds=2, max_rounds=3, preparations=1, round_s=1e-4)
WORKLOADS = [ChainWorkload(name, CHAINS[name]) for name in ("linear", "convolution", "groups")]
IMAGES = {w.key: random_input((1, *w.chain.input_shape), seed=1) for w in WORKLOADS}
OUTPUTS = {w.key: reference(w.chain, random_weights(w.chain), IMAGES[w.key]) for w in WORKLOADS}
TICK_S = 40e-9
EVENT_S = 2e-6


@pytest.fixture
def cann(fake_cann: Any) -> Iterator[Any]:
    """The fake, whose device needs no real time."""
    fake_cann.configure(host_wait="0")
    yield fake_cann
    if acl := sys.modules.get("acl"):
        process_of(acl).stop()


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tmp_path_factory.mktemp("om"))


def durations(cann: Any, backend: AscendAclBackend, policy: MeasurementPolicy) -> dict[str, float]:
    """What each workload takes on the fake's device, from its compiled file."""
    compiler = backend._compiler()
    places = {w.key: compiler.place(backend._order(w, policy)) for w in WORKLOADS}
    return {key: cann.device_s(str(place)) for key, place in places.items()}


@pytest.mark.slow
def test_random_faults(cann: Any, kept: str) -> None:
    backend = AscendAclBackend(cache=kept)
    policy = backend.resolve_policy(MeasurementPolicy())
    assert not any(backend.compile_ahead(WORKLOADS, policy, None).values())
    expected = durations(cann, backend, policy)
    told = kept_rows = fired = 0
    for seed in SEEDS:
        cann.configure(faults=f"random:{seed}:{RATES[seed % len(RATES)]}")
        attempt: Callable[..., tuple[int, int]] = computed if seed % 4 == 0 else timed
        rows, failures = attempt(backend, policy, expected)
        told += bool(failures)
        kept_rows, fired = kept_rows + rows, len(cann.faults_fired())
        assert cann.leaks() == [], f"seed {seed}"
        assert cann.violations() == [], f"seed {seed}"
        assert list(Path(kept).glob(".atc-*")) == []
    print(f"\n{fired} faults fired, {told} of {len(SEEDS)} runs failed, {kept_rows} right rows")
    assert fired >= len(SEEDS) / 2
    assert told
    assert kept_rows


def timed(
    backend: AscendAclBackend, policy: MeasurementPolicy, expected: dict[str, float]
) -> tuple[int, int]:
    """(right samples, failures) of a session."""
    original, *others = WORKLOADS
    rows = failures = 0
    with closing(LocalExecutor(backend, policy)) as executor:
        for event in run_session(executor, original, others, EFFORT):
            match event:
                case WorkloadFailed(failure):
                    assert failure.reason
                    assert "\n" not in failure.reason
                    failures += 1
                case RoundDone(samples):
                    for sample in (s for s in samples if s.clock == "device"):
                        wanted = expected[sample.workload_key] + EVENT_S / sample.loops
                        assert sample.seconds == pytest.approx(wanted, abs=TICK_S, rel=1e-6)
                        rows += 1
    return rows, failures


def computed(
    backend: AscendAclBackend, policy: MeasurementPolicy, _expected: dict[str, float]
) -> tuple[int, int]:
    """(right outputs, failures) of runners side by side."""
    rows, messages = 0, []
    for workload in WORKLOADS:
        try:
            with closing(backend.prepare(workload, policy)) as runner:
                (found,) = runner.compute([IMAGES[workload.key]])
        except MeasurementError as error:
            messages.append(str(error))
            continue
        wanted = OUTPUTS[workload.key]
        assert np.abs(found - wanted).max() <= 1e-2 * np.abs(wanted).max()
        rows += 1
    assert not any("\n" in message for message in messages)
    return rows, len(messages)
