"""`rankwise profile`: ask the store what is missing, measure that, keep each round at once."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import documents
from ..errors import UsageError
from ..records import (
    Candidate,
    DeviceFingerprint,
    Effort,
    Failure,
    LayerSpec,
    MeasurementPolicy,
)
from .reporter import Reporter, Silent
from .setting import Setting, distinct_specs, make_setting
from .storage import DEFAULT_DB
from .tally import Tally

if TYPE_CHECKING:
    from ..db.store import Store
    from ..profiler.sweep import LayerTask, SessionEvent

AUTO = "auto"
"""The rank quantum that is searched for."""


def profile(
    model: Any,
    example_input: Any = None,
    *,
    backend: str,
    db: str = DEFAULT_DB,
    weights: Path | None = None,
    input_shape: Sequence[int] | None = None,
    batch: int | None = None,
    threads: int = 1,
    kinds: Sequence[str] | None = None,
    rank_quantum: int | str | None = None,
    interval: float | None = None,
    max_time_s: float | None = None,
    refresh: bool = False,
    retry_failed: bool = False,
    phase: str = "inference",
    dtype: str = "float32",
    seed: int = 0,
    reporter: Reporter | None = None,
) -> documents.Profile:
    """Measure every distinct layer of a network, original against decomposed.

    Only what the store does not have yet is measured; each round is committed as it comes, so
    an interruption loses nothing. `complete` is false if time ran out before everything had
    its preparations. `rank_quantum` "auto" searches each layer and kind for its staircase and
    measures the good ends; a number takes multiples of it. Raises `UsageError` and its
    children before anything is measured.
    """
    from ..db.store import Store

    setting = make_setting(
        model,
        backend=backend,
        example_input=example_input,
        weights=weights,
        input_shape=input_shape,
        batch=batch,
        threads=threads,
        phase=phase,
        dtype=dtype,
    )
    effort = _effort(interval, max_time_s)
    quantum = _quantum(setting, rank_quantum)
    wanted = _candidates(setting, kinds, quantum)
    with Store.open(db) as store:
        work = Profiling(setting, store, effort, reporter or Silent(), seed)
        work.begin()
        if rank_quantum == AUTO:
            from .exploration import explore

            wanted = explore(work, kinds, quantum, retry_failed=retry_failed)
        return work.run(wanted, refresh=refresh, retry_failed=retry_failed)


def _effort(interval: float | None, max_time_s: float | None) -> Effort:
    if interval is not None and not 0 < interval < 1:
        raise UsageError(f"--interval must lie between 0 and 1, not {interval}")
    if max_time_s is not None and max_time_s <= 0:
        raise UsageError("--max-time must be more than nothing")
    effort = Effort(max_time_s=max_time_s)
    return effort if interval is None else replace(effort, interval=interval)


def _quantum(setting: Setting, asked: int | str | None) -> int:
    """The multiple that ranks keep to; with `auto`, where there is nothing to search for."""
    if asked is None or asked == AUTO:
        return setting.backend.rank_quantum(setting.policy)
    if not isinstance(asked, int):
        raise UsageError(f"--rank-quantum is a whole number or {AUTO}, not {asked!r}")
    if asked < 1:
        raise UsageError(f"--rank-quantum must be at least 1, not {asked}")
    return asked


def _candidates(
    setting: Setting, kinds: Sequence[str] | None, quantum: int
) -> dict[LayerSpec, tuple[Candidate, ...]]:
    from ..lowrank import find_kind
    from ..profiler.candidates import default_candidates

    for kind in kinds or ():
        find_kind(kind)
    return {
        spec: tuple(Candidate(spec, d) for d in default_candidates(spec, kinds, quantum))
        for spec in distinct_specs(setting.network.layers)
    }


class Profiling:
    """One run of `profile`: what is wanted, what is there, and the sweeps in between."""

    def __init__(
        self, setting: Setting, store: Store, effort: Effort, reporter: Reporter, seed: int
    ) -> None:
        self.setting, self.store, self.effort = setting, store, effort
        self.reporter, self.seed = reporter, seed
        self.samples = 0
        self.findings: list[documents.Staircase] = []
        self.explored: set[str] = set()
        """Keys of the candidates that a search for staircases asked for."""
        self.tally = Tally()
        self.started = time.monotonic()

    @property
    def where(self) -> tuple[DeviceFingerprint, MeasurementPolicy]:
        return self.setting.fingerprint, self.setting.policy

    def begin(self) -> None:
        network = self.setting.network
        self.store.recover_sessions()
        self.store.put_network(network.sha256, network.source, network.input_shape, network.layers)

    def run(
        self,
        wanted: dict[LayerSpec, tuple[Candidate, ...]],
        *,
        refresh: bool,
        retry_failed: bool,
    ) -> documents.Profile:
        """Measure what is missing of `wanted`; `begin` comes first."""
        keys = [candidate.key for group in wanted.values() for candidate in group]
        if retry_failed:
            self.store.clear_failures(*self.where, keys)
        before = self.tally.timed
        done = {} if refresh else self.sessions_done(keys)
        tasks = self._tasks(wanted, done)
        asked = before | {Candidate(t.spec, d).key for t in tasks for d in t.decompositions}
        if tasks:
            self.sweep(tasks, self.effort)
        return self._document(wanted, asked)

    def sessions_done(self, keys: Sequence[str]) -> dict[str, int]:
        """Sessions each candidate has; one that failed is not tried again by itself."""
        done = dict(self.store.sessions_done(*self.where, keys))
        done.update(dict.fromkeys(self.store.failed(*self.where, keys), self.effort.preparations))
        return done

    def _tasks(
        self, wanted: dict[LayerSpec, tuple[Candidate, ...]], done: dict[str, int]
    ) -> list[LayerTask]:
        """Candidates of a layer that have had equally many sessions make a task."""
        from ..profiler.sweep import LayerTask

        tasks = []
        for spec, candidates in wanted.items():
            for sessions in range(self.effort.preparations):
                left = [c.decomposition for c in candidates if done.get(c.key, 0) == sessions]
                if left:
                    tasks.append(LayerTask(spec, tuple(left), sessions, self.weight(spec)))
        return tasks

    def weight(self, spec: LayerSpec) -> float:
        """What the network computes in such layers: a stand-in for the time it spends there."""
        uses = self.setting.network.layers
        return float(sum(use.spec.macs for use in uses if use.spec == spec))

    @property
    def time_left_s(self) -> float | None:
        if self.effort.max_time_s is None:
            return None
        return self.effort.max_time_s - (time.monotonic() - self.started)

    def sweep(self, tasks: list[LayerTask], effort: Effort, further: bool = True) -> None:
        """Play the sessions in a child process; the time limit is that of the whole run.
        `further`: time that is left goes to undecided candidates."""
        from ..profiler.bench import ChildBench
        from ..profiler.sweep import planned_sessions, sweep

        setting, left = self.setting, self.time_left_s
        if left is not None and left <= 0:
            return
        effort = replace(effort, max_time_s=left)
        self.tally.plan(planned_sessions(tasks, effort))
        with closing(
            ChildBench(setting.backend_text, setting.policy, self.effort.timeout_s)
        ) as bench:
            events = sweep(tasks, bench, effort, self.seed, further=further)
            with closing(events):
                self._keep(events)

    def _keep(self, events: Iterator[SessionEvent]) -> None:
        """Commit each event as it comes."""
        from ..profiler import sweep

        store, tally = self.store, self.tally
        session_id, candidates = 0, {}
        for event in events:
            match event:
                case sweep.SessionStarted():
                    candidates = {c.key: c for c in (event.original, *event.candidates)}
                    circumstances = self.setting.backend.circumstances()
                    session_id = store.begin_session(
                        *self.where, event.original, event.candidates, circumstances
                    )
                    tally.started(event.original.spec)
                    self.reporter.progress(*tally.progress())
                case sweep.RoundDone():
                    store.add_round(session_id, event.samples)
                    self.samples += len(event.samples)
                case sweep.WorkloadFailed():
                    failed = candidates[event.failure.workload_key]
                    store.add_failure(*self.where, failed, event.failure, session_id)
                    tally.timed.add(failed.key)
                    self.reporter.message(_failed(failed, event.failure))
                case sweep.SessionEnded():
                    store.end_session(session_id, event.summaries)
                    tally.ended(candidates, event.summaries)
                    self.reporter.progress(*tally.progress())

    def _document(
        self, wanted: dict[LayerSpec, tuple[Candidate, ...]], asked: set[str]
    ) -> documents.Profile:
        """The candidates are what was wanted and what a search has measured on its way."""
        from .tables import document_of, measured

        setting = self.setting
        keys = {candidate.key for group in wanted.values() for candidate in group}
        everything = keys | asked | self.explored
        table = document_of(measured(self.store, setting))
        done = self.sessions_done(sorted(keys))
        left = {key for key in keys if done.get(key, 0) < self.effort.preparations}
        return documents.Profile(
            model=setting.model,
            device=documents.Fingerprint.of(setting.fingerprint),
            policy=setting.policy.to_json(),
            specs=len(wanted),
            candidates=len(everything),
            measured=len(asked - left),
            already_measured=len(everything - asked),
            samples=self.samples,
            verdicts=dict(Counter(row.verdict for row in table.rows)),
            failures=table.failures,
            staircases=self.findings,
            elapsed_s=time.monotonic() - self.started,
            complete=not left,
        )


def _failed(candidate: Candidate, failure: Failure) -> str:
    return f"{candidate.decomposition}: {failure.stage}: {failure.reason}"
