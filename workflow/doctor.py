"""`rankwise doctor`: is this machine fit to measure, and what would make it fitter."""

from __future__ import annotations

import time
from contextlib import closing

from .. import documents
from ..campaign.setup import usable_backend
from ..errors import MeasurementError
from ..lowrank import lower
from ..options.keywords import takes
from ..options.measuring import DoctorOptions
from ..profiler import environment
from ..profiler.aa import aa_pair, allowed_misses, spread_of, tally
from ..profiler.environment import EnvironmentCheck
from ..profiler.process_executor import ProcessExecutor
from ..records import ORIGINAL, Comparison, Effort, LayerSpec, MeasurementPolicy
from ..reporter import Listeners, Reporter

WIDEST = 0.05
"""An A/A interval wider than this at the median decides no gain worth having."""
EFFORT = Effort()
SPEC = LayerSpec("conv2d", 128, 128, (128, 14, 14), (3, 3), padding=(1, 1, 1, 1), bias=False)


@takes(DoctorOptions)
def doctor(options: DoctorOptions) -> documents.Doctor:
    """Checks of clock, load, frequency policy, threads and limits, and an A/A test: the same
    layer, prepared twice, compared with itself on `backend`. Raises `BackendError` if the
    backend cannot be used.

    >>> found = rw.doctor("fake", pairs=1)
    >>> [check.name for check in found.checks if check.name.startswith("A/A")]
    ['A/A test', 'A/A noise']
    >>> advice = {check.name: check.advice for check in found.checks if not check.ok}
    """
    device = usable_backend(options.backend)
    policy = device.resolve_policy(MeasurementPolicy(threads=options.threads))
    checks = list(environment.static_checks(options.threads))
    throttled, stolen, began = environment.throttled(), environment.stolen_s(), time.monotonic()
    checks += _aa(options.backend, policy, options.pairs, Listeners.of(options.reporter))
    checks.append(environment.throttling(throttled, environment.throttled()))
    elapsed = time.monotonic() - began
    checks.append(environment.steal(stolen, environment.stolen_s(), elapsed))
    return documents.Doctor(
        fit=all(check.ok for check in checks),
        backend=options.backend,
        checks=[documents.Check.of(check) for check in checks],
    )


def _aa(
    backend: str, policy: MeasurementPolicy, pairs: int, reporter: Reporter
) -> list[EnvironmentCheck]:
    comparisons = []
    with closing(ProcessExecutor(backend, policy, EFFORT.timeout_s)) as executor:
        for number in range(pairs):
            reporter.progress(number, pairs, "the same layer against itself")
            try:
                comparisons.append(aa_pair(executor, lower(SPEC, ORIGINAL), EFFORT, number))
            except (MeasurementError, RuntimeError) as error:
                reason = f"failed: {error}"
                return [EnvironmentCheck("A/A test", False, reason, "see `rankwise devices`")]
    return list(judged(comparisons))


def judged(comparisons: list[Comparison]) -> tuple[EnvironmentCheck, EnvironmentCheck]:
    """Whether intervals hold what is true, and whether they are narrow enough to be of use."""
    count = tally(comparisons)
    honest = count.missed <= allowed_misses(count.pairs) and not count.wrong
    value = f"{count.missed} of {count.pairs} intervals miss 1.0, {count.wrong} wrong verdicts"
    advice = "" if honest else "this machine changes while it measures: find out what else runs"
    width = spread_of(comparisons)
    narrow = width <= WIDEST
    remedy = "" if narrow else "this machine is too noisy to tell small gains: make it quieter"
    return (
        EnvironmentCheck("A/A test", honest, value, advice),
        EnvironmentCheck("A/A noise", narrow, f"intervals of +-{width:.1%}", remedy),
    )
