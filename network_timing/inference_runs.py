"""Whole networks against the original: interleaved, over several preparations, all kept."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType

import numpy as np

from .. import stats
from ..backends.base import CompilesAhead, FileWorkload, ModuleWorkload, Workload, own_policy
from ..campaign.setup import Setup
from ..db import NetworkRun, Store
from ..errors import MeasurementError, ModelError
from ..models.network import Network
from ..profiler import session
from ..profiler.executor import Executor, LocalExecutor, RemoteWorkload
from ..profiler.process_executor import ProcessExecutor
from ..records import Comparison, Effort, MeasurementPolicy, PairSummary
from .named_networks import NamedNetwork

NETWORK_EFFORT = Effort(
    interval=0.01, min_rounds=10, max_rounds=24, preparations=3, round_s=0.05, timeout_s=300.0
)

WORKER = f"{__package__}.network_worker"
MAX_AT_ONCE = 3
"""Networks alive beside the original: more would take caches from each other."""
NO_DTYPES: Mapping[str, str] = MappingProxyType({})

WholeNetwork = FileWorkload | ModuleWorkload | NamedNetwork


def can_time(setup: Setup) -> str:
    """Empty if this backend can run this network whole; else why not, in one phrase."""
    accepts, network = setup.backend.accepts, setup.network
    if not accepts:
        return setup.backend.probe()
    if network.framework == "torch" or FileWorkload in accepts:
        return ""
    if ModuleWorkload not in accepts:
        return f"{setup.backend.name} cannot run an ONNX network whole"
    try:
        network.workload("probe", accepts, Path())
    except ModelError as error:
        return str(error)
    return ""


def compare_networks(
    setup: Setup,
    store: Store,
    others: Mapping[str, Network],
    descriptions: Mapping[str, dict[str, object]],
    effort: Effort = NETWORK_EFFORT,
    told: Callable[[int, int], None] = lambda _done, _all: None,
    dtypes: Mapping[str, str] = NO_DTYPES,
) -> dict[str, Comparison]:
    """Time each of `others` (by key) against the original; raw samples go into the store.
    `dtypes`: the type, by key, of those that are not timed in the policy's.

    Every preparation is a fresh one, of at most `MAX_AT_ONCE` of the others, put together and
    ordered anew by lot. It has a process of its own (one plan measured 1.20 in one process and
    1.47 in another, each within 1%), save for a module that was given as an object: that one is
    copied in this process. `told` is called with how many sessions are done, of how many, before
    each and at the end. Raises `MeasurementError` if the original or one of the others
    cannot be run.
    """
    if not others:
        return {}
    summaries: dict[str, list[PairSummary]] = {key: [] for key in others}
    with tempfile.TemporaryDirectory(prefix="rankwise-") as folder:
        workloads = _workloads(setup, others, dtypes, Path(folder))
        _compile(setup, workloads.values())
        sessions = [
            ((preparation, number), part)
            for preparation in range(effort.preparations)
            for number, part in enumerate(_parts(list(others), preparation))
        ]
        for done, (seed, part) in enumerate(sessions):
            told(done, len(sessions))
            alive = {key: workloads[key] for key in (setup.original_key, *part)}
            found = _session(setup, store, alive, descriptions, effort, seed)
            for key, summary in found.items():
                summaries[key].append(summary)
        told(len(sessions), len(sessions))
    return {
        key: stats.combine(found, planned=effort.preparations) for key, found in summaries.items()
    }


def _parts(keys: list[str], seed: int) -> list[list[str]]:
    """The keys in random order, in parts of about equal size."""
    shuffled = [keys[i] for i in np.random.default_rng(seed).permutation(len(keys))]
    count = -(-len(keys) // MAX_AT_ONCE)
    return [shuffled[part::count] for part in range(count)]


def _workloads(
    setup: Setup, others: Mapping[str, Network], dtypes: Mapping[str, str], folder: Path
) -> Mapping[str, Workload | RemoteWorkload]:
    """The original first, then the others, each in a folder of its own for what it writes."""
    networks = {setup.original_key: setup.network, **others}
    made = {}
    for number, (key, network) in enumerate(networks.items()):
        place = folder / str(number)
        place.mkdir()
        made[key] = replace(_workload(setup, key, network, place), dtype=dtypes.get(key, ""))
    return made


def _workload(setup: Setup, key: str, network: Network, folder: Path) -> WholeNetwork:
    """A file where files are run; else the network's name where it has one, else its module."""
    accepts = setup.backend.accepts
    if setup.named and FileWorkload not in accepts:
        return NamedNetwork.written(key, network, setup.weights, folder)
    made: FileWorkload | ModuleWorkload = network.workload(key, accepts, folder)
    return made


def _compile(setup: Setup, workloads: Iterable[Workload | RemoteWorkload]) -> None:
    """Before anything is timed, where the backend compiles for long."""
    backend = setup.backend
    by_policy: dict[MeasurementPolicy, list[FileWorkload]] = {}
    if isinstance(backend, CompilesAhead):
        for one in workloads:
            if isinstance(one, FileWorkload):
                policy = own_policy(backend, one, setup.network_policy)
                by_policy.setdefault(policy, []).append(one)
        for policy, files in by_policy.items():
            found = backend.compile_ahead(files, policy, None)
            for reason in filter(None, found.values()):
                raise MeasurementError(f"the network could not be compiled: {reason}", "convert")


def _session(
    setup: Setup,
    store: Store,
    workloads: Mapping[str, Workload | RemoteWorkload],
    descriptions: Mapping[str, dict[str, object]],
    effort: Effort,
    seed: Sequence[int],
) -> dict[str, PairSummary]:
    policy = setup.network_policy
    runs = {key: NetworkRun(key, dict(descriptions.get(key, {}))) for key in workloads}
    original, *others = workloads.values()
    where = setup.fingerprint, policy
    session_id = store.sessions.begin(
        *where,
        runs[original.key],
        [runs[other.key] for other in others],
        setup.backend.run_metadata(),
        setup.board,
    )
    with _bench(setup, effort, original) as executor:
        prepared = [_own_copy(workload) for workload in (original, *others)]
        for event in session.run_session(executor, prepared[0], prepared[1:], effort, seed):
            match event:
                case session.RoundDone():
                    store.sessions.add_round(session_id, event.samples)
                case session.WorkloadFailed():
                    failure = event.failure
                    store.failures.add(*where, runs[failure.workload_key], failure, session_id)
                    raise MeasurementError(
                        f"the network could not be timed: {failure.reason}", failure.stage
                    )
                case session.SessionEnded():
                    store.sessions.end(session_id, event.summaries)
                    return dict(event.summaries)
    raise MeasurementError("the session ended without a result")


@contextmanager
def _bench(setup: Setup, effort: Effort, workload: Workload | RemoteWorkload) -> Iterator[Executor]:
    """A child process; this process for modules, which no file can carry safely."""
    policy = setup.network_policy
    local = isinstance(workload, ModuleWorkload)
    executor: Executor = (
        LocalExecutor(setup.backend, policy)
        if local
        else ProcessExecutor(setup.backend_text, policy, effort.timeout_s, module=WORKER)
    )
    with closing(executor):
        yield executor


def _own_copy(workload: Workload | RemoteWorkload) -> Workload | RemoteWorkload:
    """A module prepared again lies elsewhere in memory: alignment is part of the draw."""
    if isinstance(workload, ModuleWorkload):
        from ..sources.module_copies import copied  # torch's

        return replace(workload, module=copied(workload.module))
    return workload
