"""`rankwise doctor`: is this machine fit to measure, and what would make it fitter."""

from __future__ import annotations

import time
from contextlib import closing
from typing import TYPE_CHECKING

from .. import documents
from ..campaign.setup import usable_backend
from ..errors import MeasurementError
from ..records import Comparison, Effort, LayerSpec, MeasurementPolicy
from ..reporter import Reporter, Silent

if TYPE_CHECKING:
    from ..profiler.environment import EnvironmentCheck

PAIRS = 12
WIDEST = 0.05
"""An A/A interval wider than this at the median decides no gain worth having."""
EFFORT = Effort()
SPEC = LayerSpec("conv2d", 128, 128, (128, 14, 14), (3, 3), padding=(1, 1, 1, 1), bias=False)


def doctor(
    backend: str = "onnxruntime-cpu",
    *,
    threads: int = 1,
    pairs: int = PAIRS,
    reporter: Reporter | None = None,
) -> documents.Doctor:
    """Checks of clock, load, frequency policy, threads and limits, and an A/A test: the same
    layer, prepared twice, compared with itself on `backend`. Raises `BackendError` if the
    backend cannot be used."""
    from ..profiler import environment

    device = usable_backend(backend)
    policy = device.resolve_policy(MeasurementPolicy(threads=threads))
    checks = list(environment.still(threads))
    throttled, stolen, began = environment.throttled(), environment.stolen_s(), time.monotonic()
    checks += _aa(backend, policy, pairs, reporter or Silent())
    checks.append(environment.throttling(throttled, environment.throttled()))
    elapsed = time.monotonic() - began
    checks.append(environment.steal(stolen, environment.stolen_s(), elapsed))
    return documents.Doctor(
        fit=all(check.ok for check in checks),
        backend=backend,
        checks=[
            documents.Check(name=c.name, ok=c.ok, value=c.value, advice=c.advice) for c in checks
        ],
    )


def _aa(
    backend: str, policy: MeasurementPolicy, pairs: int, reporter: Reporter
) -> list[EnvironmentCheck]:
    from ..lowrank import lower
    from ..profiler.aa import aa_pair
    from ..profiler.environment import EnvironmentCheck
    from ..profiler.executor import ProcessExecutor
    from ..records import ORIGINAL

    found = []
    with closing(ProcessExecutor(backend, policy, EFFORT.timeout_s)) as executor:
        for number in range(pairs):
            reporter.progress(number, pairs, "the same layer against itself")
            try:
                found.append(aa_pair(executor, lower(SPEC, ORIGINAL), EFFORT, number))
            except (MeasurementError, RuntimeError) as error:
                return [
                    EnvironmentCheck(
                        "A/A test", False, f"failed: {error}", "see `rankwise devices`"
                    )
                ]
    return list(judged(found))


def judged(found: list[Comparison]) -> tuple[EnvironmentCheck, EnvironmentCheck]:
    """Whether intervals hold what is true, and whether they are narrow enough to be of use."""
    from ..profiler.aa import allowed_misses, spread_of, tally
    from ..profiler.environment import EnvironmentCheck

    count = tally(found)
    honest = count.missed <= allowed_misses(count.pairs) and not count.wrong
    value = f"{count.missed} of {count.pairs} intervals miss 1.0, {count.wrong} wrong verdicts"
    advice = "" if honest else "this machine changes while it measures: find out what else runs"
    width = spread_of(found)
    narrow = width <= WIDEST
    remedy = "" if narrow else "this machine is too noisy to tell small gains: make it quieter"
    return (
        EnvironmentCheck("A/A test", honest, value, advice),
        EnvironmentCheck("A/A noise", narrow, f"intervals of +-{width:.1%}", remedy),
    )
