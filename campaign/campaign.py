"""One campaign: what is wanted of a network's layers, what the store has, the sweeps in between."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING

from .. import documents
from ..records import (
    Candidate,
    Decomposition,
    DeviceFingerprint,
    Effort,
    Failure,
    LayerSpec,
    MeasurementPolicy,
)
from ..reporter import Reporter
from .rows import document_of, measured
from .setup import Setup
from .tally import Tally

if TYPE_CHECKING:
    from ..db.store import Store
    from ..profiler.executor import Executor
    from ..profiler.sweep import LayerTask, SessionEvent

COMPILING_SHARE = 0.5
"""Of the time that is left, for a backend that compiles ahead."""


class Campaign:
    """One run of `profile`: what is wanted, what is there, and the sweeps in between."""

    def __init__(
        self, setup: Setup, store: Store, effort: Effort, reporter: Reporter, seed: int
    ) -> None:
        self.setup, self.store, self.effort = setup, store, effort
        self.reporter, self.seed = reporter, seed
        self.samples = 0
        self.findings: list[documents.Staircase] = []
        self.explored: set[str] = set()
        """Keys of the candidates that a search for staircases asked for."""
        self.tally = Tally()
        self.started = time.monotonic()

    @property
    def where(self) -> tuple[DeviceFingerprint, MeasurementPolicy]:
        return self.setup.fingerprint, self.setup.policy

    def begin(self) -> None:
        network = self.setup.network
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
        done = self.sessions_done(keys)
        stale = set() if refresh else self._stale(set(keys) - done.keys())
        self._say_stale(stale)
        done.update(dict.fromkeys(stale, self.effort.preparations))
        tasks = self._tasks(wanted, done)
        asked = before | {Candidate(t.spec, d).key for t in tasks for d in t.decompositions}
        if tasks:
            self.sweep(tasks, self.effort)
        return self._document(wanted, asked, stale)

    def _stale(self, keys: set[str]) -> set[str]:
        """Of these candidates those that were measured on this hardware with other software."""
        fingerprint, policy = self.where
        known = self.store.measurements(
            hardware_key=fingerprint.hardware_key,
            policy_key=policy.key,
            spec_keys={use.spec.key for use in self.setup.network.layers if use.spec},
        )
        found = (m for m in known if m.summaries and m.fingerprint != fingerprint)
        return keys & {Candidate(m.spec, m.decomposition).key for m in found}

    def _say_stale(self, stale: set[str]) -> None:
        if stale:
            self.reporter.message(
                f"{len(stale)} candidates were measured on this device with other software; "
                "profile --refresh measures them again"
            )

    def sessions_done(self, keys: Sequence[str]) -> dict[str, int]:
        """Sessions each candidate has; one that failed is not tried again by itself."""
        done = dict(self.store.sessions_done(*self.where, keys))
        done.update(dict.fromkeys(self.store.failed(*self.where, keys), self.effort.preparations))
        return done

    def _tasks(
        self, wanted: dict[LayerSpec, tuple[Candidate, ...]], done: dict[str, int]
    ) -> list[LayerTask]:
        """Candidates of a layer that have had equally many sessions make a task."""
        tasks = []
        for spec, candidates in wanted.items():
            for sessions in range(self.effort.preparations):
                left = [c.decomposition for c in candidates if done.get(c.key, 0) == sessions]
                if left:
                    tasks.append(self.task(spec, left, sessions))
        return tasks

    def task(self, spec: LayerSpec, left: Sequence[Decomposition], sessions: int) -> LayerTask:
        """A network's first layer is trained without the gradient of its input."""
        from ..profiler.sweep import LayerTask

        specs = [use.spec for use in self.setup.network.layers]
        is_first = specs[0] == spec and specs.count(spec) == 1
        return LayerTask(spec, tuple(left), sessions, self.weight(spec), not is_first)

    def weight(self, spec: LayerSpec) -> float:
        """What the network computes in such layers: a stand-in for the time it spends there."""
        uses = self.setup.network.layers
        return float(sum(use.spec.macs for use in uses if use.spec == spec))

    @property
    def time_left_s(self) -> float | None:
        if self.effort.max_time_s is None:
            return None
        return self.effort.max_time_s - (time.monotonic() - self.started)

    def sweep(
        self, tasks: list[LayerTask], effort: Effort, extra_preparations: bool = True
    ) -> None:
        """Play the sessions in a child process; the time limit is that of the whole run.
        `further`: time that is left goes to undecided candidates."""
        from ..profiler.sweep import planned_sessions, sweep

        tasks = self._compiled(tasks)
        left = self.time_left_s
        if not tasks or (left is not None and left <= 0):
            return
        effort = replace(effort, max_time_s=left)
        self.tally.plan(planned_sessions(tasks, effort))
        with closing(_bench(self.setup, effort, self.seed)) as executor:
            events = sweep(
                tasks, executor, effort, self.seed, extra_preparations=extra_preparations
            )
            with closing(events):
                self._keep(events)

    def _compiled(self, tasks: list[LayerTask]) -> list[LayerTask]:
        """Those that can be measured now. Compiling gets at most half of the time; what it
        does not reach is left for another run."""
        from ..profiler.precompile import compile_tasks

        setup, left = self.setup, self.time_left_s
        budget = None if left is None else max(left, 0.0) * COMPILING_SHARE
        found = compile_tasks(setup.backend, tasks, setup.policy, budget)
        for candidate, failure in found.failures:
            self.store.add_failure(*self.where, candidate, failure)
            self.tally.timed.add(candidate.key)
            self.reporter.message(_failed(candidate, failure))
        if found.left:
            self.reporter.message(f"no time to compile {found.left} candidates: run again")
        return found.tasks

    def _keep(self, events: Iterator[SessionEvent]) -> None:
        """Commit each event as it comes."""
        from ..profiler import sweep

        store, tally = self.store, self.tally
        session_id, candidates = 0, {}
        for event in events:
            match event:
                case sweep.SessionStarted():
                    candidates = {c.key: c for c in (event.original, *event.candidates)}
                    run_metadata = self.setup.backend.run_metadata()
                    session_id = store.begin_session(
                        *self.where, event.original, event.candidates, run_metadata
                    )
                    tally.started(event.original.spec)
                    self.reporter.progress(*tally.progress())
                case sweep.RoundDone():
                    store.add_round(session_id, event.samples)
                    self.samples += len(event.samples)
                case sweep.WorkloadFailed():
                    failed = candidates[event.failure.workload_key]
                    store.add_failure(*self.where, failed, event.failure, session_id)
                    tally.failed(failed.key)
                    self.reporter.message(_failed(failed, event.failure))
                case sweep.SessionEnded():
                    store.end_session(session_id, event.summaries)
                    tally.ended(candidates, event.summaries)
                    self.reporter.progress(*tally.progress())

    def _document(
        self, wanted: dict[LayerSpec, tuple[Candidate, ...]], asked: set[str], stale: set[str]
    ) -> documents.Profile:
        """The candidates are what was wanted and what a search has measured on its way."""
        setup = self.setup
        keys = {candidate.key for group in wanted.values() for candidate in group}
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
            failed=self.tally.failures,
            staircases=self.findings,
            elapsed_s=time.monotonic() - self.started,
            complete=not left,
        )


def _bench(setup: Setup, effort: Effort, seed: int) -> Executor:
    """A child process, which times layers alone or among others as the policy says."""
    from ..profiler.executor import ProcessExecutor
    from ..profiler.marginal import MarginalExecutor

    executor = ProcessExecutor(setup.backend_text, setup.policy, effort.timeout_s)
    return MarginalExecutor(executor, seed) if setup.policy.context == "marginal" else executor


def _failed(candidate: Candidate, failure: Failure) -> str:
    return f"{candidate.decomposition}: {failure.stage}: {failure.reason}"
