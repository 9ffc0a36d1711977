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
from ..records import Candidate, Effort, Failure, LayerSpec
from .reporter import Reporter, Silent
from .setting import Setting, distinct_specs, make_setting
from .storage import DEFAULT_DB

if TYPE_CHECKING:
    from ..db.store import Store
    from ..profiler.sweep import LayerTask, SessionEvent


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
    rank_quantum: int | None = None,
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
    its preparations. Raises `UsageError` and its children before anything is measured.
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
        return work.run(wanted, refresh=refresh, retry_failed=retry_failed)


def _effort(interval: float | None, max_time_s: float | None) -> Effort:
    if interval is not None and not 0 < interval < 1:
        raise UsageError(f"--interval must lie between 0 and 1, not {interval}")
    if max_time_s is not None and max_time_s <= 0:
        raise UsageError("--max-time must be more than nothing")
    effort = Effort(max_time_s=max_time_s)
    return effort if interval is None else replace(effort, interval=interval)


def _quantum(setting: Setting, asked: int | None) -> int:
    if asked is not None and asked < 1:
        raise UsageError(f"--rank-quantum must be at least 1, not {asked}")
    return asked or setting.backend.rank_quantum(setting.policy)


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
    """One run of `profile`: what is wanted, what is there, and the sweep in between."""

    def __init__(
        self, setting: Setting, store: Store, effort: Effort, reporter: Reporter, seed: int
    ) -> None:
        self.setting, self.store, self.effort = setting, store, effort
        self.reporter, self.seed = reporter, seed
        self.samples = 0
        self.started = time.monotonic()

    def run(
        self,
        wanted: dict[LayerSpec, tuple[Candidate, ...]],
        *,
        refresh: bool,
        retry_failed: bool,
    ) -> documents.Profile:
        network = self.setting.network
        self.store.recover_sessions()
        self.store.put_network(network.sha256, network.source, network.input_shape, network.layers)
        keys = [candidate.key for group in wanted.values() for candidate in group]
        if retry_failed:
            self.store.clear_failures(self.setting.fingerprint, self.setting.policy, keys)
        done = {} if refresh else self._sessions_done(keys)
        tasks = self._tasks(wanted, done)
        if tasks:
            self._sweep(tasks)
        return self._document(wanted, sum(len(t.decompositions) for t in tasks))

    def _sessions_done(self, keys: list[str]) -> dict[str, int]:
        """Sessions each candidate has; one that failed is not tried again by itself."""
        where = self.setting.fingerprint, self.setting.policy
        done = dict(self.store.sessions_done(*where, keys))
        done.update(dict.fromkeys(self.store.failed(*where, keys), self.effort.preparations))
        return done

    def _tasks(
        self, wanted: dict[LayerSpec, tuple[Candidate, ...]], done: dict[str, int]
    ) -> list[LayerTask]:
        from ..profiler.sweep import LayerTask

        tasks = []
        for spec, candidates in wanted.items():
            left = [c for c in candidates if done.get(c.key, 0) < self.effort.preparations]
            if left:
                sessions = min(done.get(c.key, 0) for c in left)
                tasks.append(LayerTask(spec, tuple(c.decomposition for c in left), sessions))
        return tasks

    def _sweep(self, tasks: list[LayerTask]) -> None:
        from ..profiler.bench import ChildBench
        from ..profiler.sweep import planned_sessions, sweep

        setting = self.setting
        total = planned_sessions(tasks, self.effort)
        with closing(
            ChildBench(setting.backend_text, setting.policy, self.effort.timeout_s)
        ) as bench:
            events = sweep(tasks, bench, self.effort, self.seed)
            with closing(events):
                self._keep(events, total)

    def _keep(self, events: Iterator[SessionEvent], total: int) -> None:
        """Commit each event as it comes."""
        from ..profiler import sweep

        setting, store = self.setting, self.store
        where = setting.fingerprint, setting.policy
        session_id, candidates, seen = 0, {}, Counter[str]()
        for event in events:
            match event:
                case sweep.SessionStarted():
                    candidates = {c.key: c for c in (event.original, *event.candidates)}
                    circumstances = setting.backend.circumstances()
                    session_id = store.begin_session(
                        *where, event.original, event.candidates, circumstances
                    )
                    seen[event.original.key] += 1
                    self.reporter.progress(
                        sum(seen.values()) - 1, max(total, sum(seen.values())), _title(event)
                    )
                case sweep.RoundDone():
                    store.add_round(session_id, event.samples)
                    self.samples += len(event.samples)
                case sweep.WorkloadFailed():
                    failed = candidates[event.failure.workload_key]
                    store.add_failure(*where, failed, event.failure, session_id)
                    self.reporter.message(_failed(failed, event.failure))
                case sweep.SessionEnded():
                    store.end_session(session_id, event.summaries)

    def _document(
        self, wanted: dict[LayerSpec, tuple[Candidate, ...]], asked: int
    ) -> documents.Profile:
        from .tables import document_of, measured

        setting = self.setting
        total = sum(len(group) for group in wanted.values())
        keys = [candidate.key for group in wanted.values() for candidate in group]
        table = document_of(measured(self.store, setting))
        done = self._sessions_done(keys)
        left = sum(done.get(key, 0) < self.effort.preparations for key in keys)
        return documents.Profile(
            model=setting.model,
            device=documents.Fingerprint.of(setting.fingerprint),
            policy=setting.policy.to_json(),
            specs=len(wanted),
            candidates=total,
            measured=asked - left,
            already_measured=total - asked,
            samples=self.samples,
            verdicts=dict(Counter(row.verdict for row in table.rows)),
            failures=table.failures,
            elapsed_s=time.monotonic() - self.started,
            complete=left == 0,
        )


def _title(event: Any) -> str:
    spec = event.original.spec
    kernel = "x".join(map(str, spec.kernel_size))
    return f"{spec.op} {kernel} {spec.in_channels}->{spec.out_channels}"


def _failed(candidate: Candidate, failure: Failure) -> str:
    return f"{candidate.decomposition}: {failure.stage}: {failure.reason}"
