"""One campaign: what is wanted of a network's layers, what the store has, the sweeps in between."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import replace

from .. import documents
from ..db.measurement_values import MeasurementFilter
from ..db.store import Store
from ..profiler.executor import Executor
from ..profiler.marginal import MarginalExecutor
from ..profiler.precompile import compile_tasks
from ..profiler.process_executor import ProcessExecutor
from ..profiler.session import (
    RoundDone,
    SessionEnded,
    SessionEvent,
    SessionStarted,
    WorkloadFailed,
)
from ..profiler.sweep import LayerTask, planned_sessions, sweep
from ..records import (
    Candidate,
    Decomposition,
    DeviceFingerprint,
    Effort,
    Failure,
    LayerSpec,
    MeasurementPolicy,
)
from ..reporter import Teller
from .rows import document_of, measured
from .setup import Setup, distinct_specs
from .sweep_progress import SweepProgress
from .wanted import Wanted, keys_of

COMPILING_SHARE = 0.5
"""Share of the time that is left, for a backend that compiles ahead."""


class Campaign:
    """One run of `profile`: what is wanted, what is there, and the sweeps in between."""

    def __init__(
        self,
        setup: Setup,
        store: Store,
        effort: Effort,
        reporter: Teller,
        seed: int,
        board: str | None = None,
    ) -> None:
        self.setup, self.store, self.effort = setup, store, effort
        self.board = board
        """The board whose sessions count; None: those of any board of this kind."""
        self.reporter, self.seed = reporter, seed
        self.samples = 0
        self.findings: list[documents.Staircase] = []
        self.explored: set[str] = set()
        """Keys of the candidates that a search for staircases asked for."""
        self.progress = SweepProgress()
        self.started = time.monotonic()

    @property
    def where(self) -> tuple[DeviceFingerprint, MeasurementPolicy]:
        return self.setup.fingerprint, self.setup.policy

    def begin(self) -> None:
        network = self.setup.network
        self.store.sessions.recover()
        self.store.networks.put(network.sha256, network.source, network.input_shape, network.layers)

    def run(self, wanted: Wanted, *, refresh: bool, retry_failed: bool) -> documents.Profile:
        """Measure what is missing of `wanted`; `begin` comes first."""
        keys = keys_of(wanted)
        if retry_failed:
            self.store.failures.clear(*self.where, keys)
        before = self.progress.timed
        done = self.sessions_done(keys)
        stale = set() if refresh else self._stale(set(keys) - done.keys())
        if stale:
            self.reporter.message(
                f"{len(stale)} candidates were measured on this device with other software; "
                "profile --refresh measures them again"
            )
        done.update(dict.fromkeys(stale, self.effort.preparations))
        tasks = self.tasks(wanted, done, self.effort.preparations)
        asked = before | {Candidate(t.spec, d).key for t in tasks for d in t.decompositions}
        self.sweep(tasks, self.effort)
        return self._document(wanted, asked, stale)

    def _stale(self, keys: set[str]) -> set[str]:
        """Return those of the candidates that were measured here with other software."""
        fingerprint, policy = self.where
        wanted = MeasurementFilter(
            hardware_key=fingerprint.hardware_key,
            policy_key=policy.key,
            spec_keys={spec.key for spec in distinct_specs(self.setup.network.layers)},
        )
        known = self.store.measurements.find(wanted)
        elsewhere = (m for m in known if m.summaries and m.fingerprint != fingerprint)
        return keys & {Candidate(m.spec, m.decomposition).key for m in elsewhere}

    def sessions_done(self, keys: Sequence[str]) -> dict[str, int]:
        """Return how many sessions each candidate has had; one that failed counts as done."""
        done = dict(self.store.measurements.session_counts(*self.where, keys, self.board))
        failed = self.store.failures.latest(*self.where, keys)
        done.update(dict.fromkeys(failed, self.effort.preparations))
        return done

    def tasks(self, wanted: Wanted, done: dict[str, int], preparations: int) -> list[LayerTask]:
        """Return what is missing of so many preparations: candidates of a layer that have had
        equally many sessions make one task."""
        tasks = []
        for spec, candidates in wanted.items():
            for sessions in range(preparations):
                left = [c.decomposition for c in candidates if done.get(c.key, 0) == sessions]
                if left:
                    tasks.append(self._task(spec, left, sessions))
        return tasks

    def _task(self, spec: LayerSpec, left: Sequence[Decomposition], sessions: int) -> LayerTask:
        """Return a task; a network's first layer is trained without the gradient of its input. The
        MACs of all such layers stand in for the time that the network spends there."""
        uses = self.setup.network.layers
        specs = [call for use in uses for call in use.every_call]
        is_first = uses[0].spec == spec and specs.count(spec) == 1
        macs = float(spec.macs * specs.count(spec))
        return LayerTask(spec, tuple(left), sessions, macs, not is_first)

    @property
    def time_left_s(self) -> float | None:
        if self.effort.max_time_s is None:
            return None
        return self.effort.max_time_s - (time.monotonic() - self.started)

    def sweep(
        self, tasks: list[LayerTask], effort: Effort, extra_preparations: bool = True
    ) -> None:
        """Play the sessions in a child process; the time limit is that of the whole run.
        With `extra_preparations` time that is left goes to undecided candidates."""
        tasks = self._compiled(tasks)
        left = self.time_left_s
        if not tasks or (left is not None and left <= 0):
            return
        effort = replace(effort, max_time_s=left)
        self.progress.plan(planned_sessions(tasks, effort))
        with closing(_executor(self.setup, effort, self.seed)) as executor:
            events = sweep(
                tasks, executor, effort, self.seed, extra_preparations=extra_preparations
            )
            with closing(events):
                self._keep(events)

    def _compiled(self, tasks: list[LayerTask]) -> list[LayerTask]:
        """Return the tasks that can be measured now. Compiling gets at most half of the time; what
        it does not reach is left for another run."""
        setup, left = self.setup, self.time_left_s
        budget = None if left is None else max(left, 0.0) * COMPILING_SHARE
        compiled = compile_tasks(setup.backend, tasks, setup.policy, budget)
        for candidate, failure in compiled.failures:
            self.store.failures.add(*self.where, candidate, failure)
            self.progress.timed.add(candidate.key)
            self.reporter.message(_failed(candidate, failure))
        if compiled.left:
            self.reporter.message(f"no time to compile {compiled.left} candidates: run again")
        return compiled.tasks

    def _keep(self, events: Iterator[SessionEvent]) -> None:
        """Commit each event as it comes."""
        store, progress = self.store, self.progress
        session_id, candidates = 0, {}
        for event in events:
            match event:
                case SessionStarted():
                    candidates = {c.key: c for c in (event.original, *event.candidates)}
                    run_metadata = self.setup.backend.run_metadata()
                    session_id = store.sessions.begin(
                        *self.where,
                        event.original,
                        event.candidates,
                        run_metadata,
                        self.setup.board,
                    )
                    progress.started(event.original.spec)
                    self.reporter.progress(*progress.line())
                case RoundDone():
                    store.sessions.add_round(session_id, event.samples)
                    self.samples += len(event.samples)
                case WorkloadFailed():
                    failed = candidates[event.failure.workload_key]
                    store.failures.add(*self.where, failed, event.failure, session_id)
                    progress.failed(failed.key)
                    self.reporter.message(_failed(failed, event.failure))
                case SessionEnded():
                    store.sessions.end(session_id, event.summaries)
                    progress.ended(candidates, event.summaries)
                    self.reporter.progress(*progress.line())
                    self.reporter.metrics(progress.counts(), progress.sessions)

    def _document(self, wanted: Wanted, asked: set[str], stale: set[str]) -> documents.Profile:
        """The candidates are what was wanted and what a search has measured on its way."""
        setup = self.setup
        keys = set(keys_of(wanted))
        everything = keys | asked | self.explored
        table = document_of(measured(self.store, setup))
        done = self.sessions_done(sorted(keys))
        preparations = self.effort.preparations
        left = {key for key in keys - stale if done.get(key, 0) < preparations}
        return documents.Profile(
            model=setup.model,
            device=documents.Fingerprint.of(setup.fingerprint),
            policy=setup.policy.to_json(),
            specs=len(wanted),
            candidates=len(everything),
            measured=len(asked - left),
            already_measured=len(everything - asked),
            stale=len(stale),
            samples=self.samples,
            verdicts=dict(Counter(row.verdict for row in table.rows)),
            failures=table.failures,
            failed=self.progress.failures,
            staircases=self.findings,
            elapsed_s=time.monotonic() - self.started,
            complete=not left,
        )


def _executor(setup: Setup, effort: Effort, seed: int) -> Executor:
    """Return a child process, which times layers alone or among others as the policy says."""
    executor = ProcessExecutor(setup.backend_text, setup.policy, effort.timeout_s)
    return MarginalExecutor(executor, seed) if setup.policy.context == "marginal" else executor


def _failed(candidate: Candidate, failure: Failure) -> str:
    return f"{candidate.decomposition}: {failure.stage}: {failure.reason}"
