"""Whole networks against the original: interleaved, over several preparations, all kept."""

from __future__ import annotations

import copy
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from .. import stats
from ..errors import MeasurementError, ModelError
from ..records import Comparison, Effort, PairSummary
from .setting import Setting

if TYPE_CHECKING:
    from ..backends.base import Workload
    from ..db.store import Store
    from ..models.network import Network
    from ..profiler.bench import Bench

NETWORK_EFFORT = Effort(
    interval=0.01, min_rounds=10, max_rounds=24, preparations=3, round_s=0.05, timeout_s=300.0
)


def can_time(setting: Setting) -> str:
    """Empty if this backend can run this network whole; else why not, in one phrase."""
    from ..backends.base import FileWorkload, ModuleWorkload

    accepts, network = setting.backend.accepts, setting.network
    if network.framework == "torch" or FileWorkload in accepts:
        return ""
    if ModuleWorkload not in accepts:
        return f"{setting.backend.name} cannot run an ONNX network whole"
    try:
        network.workload("probe", accepts, Path())
    except ModelError as error:
        return str(error)
    return ""


def compare_networks(
    setting: Setting,
    store: Store,
    others: Mapping[str, Network],
    descriptions: Mapping[str, dict[str, object]],
    effort: Effort = NETWORK_EFFORT,
) -> dict[str, Comparison]:
    """Time each of `others` (by key) against the original; raw samples go into the store.

    Every preparation is a fresh one (a file's own process; a module's own copy). Raises
    `MeasurementError` if the original or one of the others cannot be run.
    """
    if not others:
        return {}
    summaries: dict[str, list[PairSummary]] = {key: [] for key in others}
    with tempfile.TemporaryDirectory(prefix="rankwise-") as folder:
        workloads = _workloads(setting, others, Path(folder))
        for preparation in range(effort.preparations):
            found = _session(setting, store, workloads, descriptions, effort, preparation)
            for key, summary in found.items():
                summaries[key].append(summary)
    return {
        key: stats.combine(found, planned=effort.preparations) for key, found in summaries.items()
    }


def _workloads(
    setting: Setting, others: Mapping[str, Network], folder: Path
) -> dict[str, Workload]:
    """The original first, then the others, each written to its own file where files are run."""
    networks = {setting.network.sha256: setting.network, **others}
    made = {}
    for number, (key, network) in enumerate(networks.items()):
        place = folder / str(number)
        place.mkdir()
        made[key] = network.workload(key, setting.backend.accepts, place)
    return made


def _session(
    setting: Setting,
    store: Store,
    workloads: Mapping[str, Workload],
    descriptions: Mapping[str, dict[str, object]],
    effort: Effort,
    seed: int,
) -> dict[str, PairSummary]:
    from ..db.store import NetworkRun
    from ..profiler import sweep
    from ..profiler.session import run_session

    policy = setting.network_policy
    runs = {key: NetworkRun(key, dict(descriptions.get(key, {}))) for key in workloads}
    original, *others = workloads.values()
    where = setting.fingerprint, policy
    session_id = store.begin_session(
        *where,
        runs[original.key],
        [runs[other.key] for other in others],
        setting.backend.circumstances(),
    )
    with _bench(setting, effort, original) as bench:
        prepared = [_own_copy(workload) for workload in (original, *others)]
        for event in run_session(bench, prepared[0], prepared[1:], effort, seed):
            match event:
                case sweep.RoundDone():
                    store.add_round(session_id, event.samples)
                case sweep.WorkloadFailed():
                    failure = event.failure
                    store.add_failure(*where, runs[failure.workload_key], failure, session_id)
                    raise MeasurementError(
                        f"the network could not be timed: {failure.reason}", failure.stage
                    )
                case sweep.SessionEnded():
                    store.end_session(session_id, event.summaries)
                    return dict(event.summaries)
    raise MeasurementError("the session ended without a result")


@contextmanager
def _bench(setting: Setting, effort: Effort, workload: Workload) -> Iterator[Bench]:
    """A child process for files; this process for modules, which no file can carry safely."""
    from ..backends.base import ModuleWorkload
    from ..profiler.bench import ChildBench, LocalBench

    policy = setting.network_policy
    local = isinstance(workload, ModuleWorkload)
    bench: Bench = (
        LocalBench(setting.backend, policy)
        if local
        else ChildBench(setting.backend_text, policy, effort.timeout_s)
    )
    with closing(bench):
        yield bench


def _own_copy(workload: Workload) -> Workload:
    """A module prepared again lies elsewhere in memory: alignment is part of the draw."""
    from ..backends.base import ModuleWorkload

    if isinstance(workload, ModuleWorkload):
        return replace(workload, module=copy.deepcopy(workload.module))
    return workload
