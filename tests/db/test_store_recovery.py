"""Sessions that were cut off: what was committed is kept, and counted once."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rankwise import stats
from rankwise.db import Store
from rankwise.db.processes import Owner, is_gone, is_gone_here, this_process
from rankwise.records import (
    ORIGINAL,
    Candidate,
    Decomposition,
    DeviceFingerprint,
    Failure,
    LayerSpec,
    MeasurementPolicy,
    Sample,
)

POLICY = MeasurementPolicy()
DEVICE = DeviceFingerprint.of("fake", {"chip": "a"}, {"driver": "1"})
SPEC = LayerSpec("linear", 8, 8, (8,))
ORIGIN = Candidate(SPEC, ORIGINAL)
ONE = Candidate(SPEC, Decomposition("svd", (4,)))
TWO = Candidate(SPEC, Decomposition("svd", (2,)))


Execute = Callable[..., list[tuple[Any, ...]]]
CutOff = Callable[[dict[str, list[tuple[int, str, float]]]], None]


@pytest.fixture
def cut_off(store: Store, execute: Execute) -> CutOff:
    """Makes a session whose process is gone: (round, clock, seconds) by workload key."""

    def make(rounds: dict[str, list[tuple[int, str, float]]]) -> None:
        session = store.sessions.begin(DEVICE, POLICY, ORIGIN, [ONE, TWO], {})
        for key, timed in rounds.items():
            store.sessions.add_round(session, [Sample(r, key, clock, s) for r, clock, s in timed])
        execute("UPDATE sessions SET process_started = -1 WHERE id = :id", id=session)

    return make


def host(*seconds: float) -> list[tuple[int, str, float]]:
    return [(number, "host", s) for number, s in enumerate(seconds)]


def test_a_cut_off_session_is_summarised_from_paired_rounds(store: Store, cut_off: CutOff) -> None:
    cut_off(
        {
            ORIGIN.key: host(1.0, 1.1, 1.2, 1.3),
            ONE.key: host(0.5, 0.6, 0.7),  # its last round was not committed
            TWO.key: host(0.5, 0.6),  # too few
        },
    )
    assert store.check() == ["1 sessions were cut off; the next `rankwise profile` ends them"]
    assert store.sessions.recover() == 1
    [found] = store.measurements.find()
    pairs = np.array([1.0, 1.1, 1.2]), np.array([0.5, 0.6, 0.7])
    assert found.summaries == (stats.summarize_pairs(*pairs),)
    assert store.measurements.session_counts(DEVICE, POLICY, [ONE.key, TWO.key]) == {ONE.key: 1}
    assert store.sessions.recover() == 0
    assert store.check() == []


def test_the_device_clock_counts_where_there_is_one(store: Store, cut_off: CutOff) -> None:
    both = [(r, clock, s) for r in range(3) for clock, s in (("device", 2.0), ("host", 9.0))]
    cut_off({ORIGIN.key: both, ONE.key: [(r, c, s / 2) for r, c, s in both]})
    store.sessions.recover()
    [found] = store.measurements.find()
    assert (found.summaries[0].original_s, found.summaries[0].candidate_s) == (2.0, 1.0)


def test_an_empty_session_is_removed(store: Store, cut_off: CutOff, execute: Execute) -> None:
    cut_off({})
    assert store.sessions.recover() == 1
    assert execute("SELECT count(*) FROM sessions") == [(0,)]


def test_a_session_with_a_failure_is_kept(store: Store, execute: Execute) -> None:
    session = store.sessions.begin(DEVICE, POLICY, ORIGIN, [ONE], {})
    store.failures.add(DEVICE, POLICY, ONE, Failure(ONE.key, "crash", "gone"), session)
    store.close()  # ends what it began
    assert execute("SELECT count(ended_at) FROM sessions") == [(1,)]


def test_a_running_session_is_left_alone(store: Store, url: str) -> None:
    session = store.sessions.begin(DEVICE, POLICY, ORIGIN, [ONE], {})
    with Store.open(url) as other:
        assert other.sessions.recover() == 0
    store.sessions.add_round(session, [Sample(0, ONE.key, "host", 1.0)])


def test_closing_ends_what_was_begun(store: Store, url: str) -> None:
    with Store.open(url) as other:
        session = other.sessions.begin(DEVICE, POLICY, ORIGIN, [ONE], {})
        for number in range(3):
            pair = [Sample(number, c.key, "host", 1.0 + number) for c in (ORIGIN, ONE)]
            other.sessions.add_round(session, pair)
    assert store.measurements.session_counts(DEVICE, POLICY, [ONE.key]) == {ONE.key: 1}


def test_ending_a_recovered_session_replaces_its_summaries(store: Store, execute: Execute) -> None:
    session = store.sessions.begin(DEVICE, POLICY, ORIGIN, [ONE], {})
    execute("UPDATE sessions SET process_started = -1")
    for number in range(3):
        pair = [Sample(number, c.key, "host", 1.0 + number) for c in (ORIGIN, ONE)]
        store.sessions.add_round(session, pair)
    store.sessions.recover()
    better = stats.summarize_pairs(np.array([1.0, 2, 3, 4]), np.array([1.0, 2, 3, 3]))
    store.sessions.end(session, {ONE.key: better})
    assert store.measurements.find()[0].summaries == (better,)


def test_another_estimator_summarises_anew(
    store: Store, cut_off: CutOff, execute: Execute, monkeypatch: pytest.MonkeyPatch
) -> None:
    cut_off({ORIGIN.key: host(1, 2, 3), ONE.key: host(1, 1, 1)})
    store.sessions.recover()
    execute("UPDATE summaries SET log_ratio = 99")
    assert store.sessions.resummarize() == 0
    monkeypatch.setattr(stats, "ESTIMATOR_VERSION", stats.ESTIMATOR_VERSION + 1)
    assert store.check() == ["1 sessions were summarised by another estimator"]
    assert store.sessions.resummarize() == 1
    assert store.measurements.find()[0].summaries[0].log_ratio != 99
    assert store.sessions.resummarize() == 0


def test_who_is_gone() -> None:
    me = this_process()
    times = "2020-01-01T00:00:00.000Z", "2020-01-01T00:00:01.000Z"  # whatever the time is here
    later = times[0], "2020-01-02T00:00:01.000Z"
    assert not is_gone(me, *later)
    assert is_gone(Owner(me.host, me.boot, me.pid, me.started - 1), *times)  # a reused number
    assert is_gone(Owner(me.host, "another boot", me.pid, me.started), *times)
    assert not is_gone(Owner("elsewhere", me.boot, me.pid, me.started), *times)
    assert is_gone(Owner("elsewhere", me.boot, me.pid, me.started), *later)


def test_a_corpse_is_gone() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as child:
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # it is a zombie now
        assert is_gone_here(Owner(this_process().host, this_process().boot, child.pid, 0.0))


WRITER = """
import itertools
from test_data import *
with Store.open(sys.argv[1]) as store:
    store.sessions.recover()
    for number in itertools.count():
        session = store.sessions.begin(DEVICE, POLICY, ORIGIN, [ONE], {})
        for r in range(6):
            timed = [Sample(r, c.key, "host", 1.0 + r) for c in (ORIGIN, ONE)]
            store.sessions.add_round(session, timed)
            print(session, r, flush=True)
        pair = np.arange(1.0, 7.0)
        store.sessions.end(session, {ONE.key: stats.summarize_pairs(pair, pair)})
"""
KILLS = 8


@pytest.mark.slow
def test_nothing_acknowledged_is_lost_when_killed(
    url: str, execute: Execute, tmp_path: Path
) -> None:
    """`kill -9` at random moments of a process that writes as fast as it can.
    `benchmarks/store_kill.py` does it hundreds of times."""
    rng = random.Random(20)
    script = tmp_path / "writer.py"
    source = Path(__file__).read_text()
    head = source[source.index("import numpy") : source.index("Execute =")]
    script.write_text(WRITER.replace("from test_data import *", f"import sys\n{head}"))
    acknowledged: set[tuple[int, int]] = set()
    for _ in range(KILLS):
        acknowledged |= killed_after([str(script), url], rng.uniform(0.0, 0.2))
        with Store.open(url) as store:
            store.sessions.recover()
            assert store.check() == []
    assert len(acknowledged) > 2 * KILLS

    stored = {(s, r) for s, r in execute("SELECT DISTINCT session_id, round FROM samples")}
    assert acknowledged <= stored
    assert len(stored - acknowledged) <= KILLS  # committed, and killed before it could say so
    [(rows,)] = execute("SELECT count(*) FROM samples")
    assert rows == 2 * len(stored)  # whole rounds only
    with Store.open(url) as store:
        done = store.measurements.session_counts(DEVICE, POLICY, [ONE.key])[ONE.key]
    rounds: dict[object, int] = defaultdict(int)
    for session, _ in stored:
        rounds[session] += 1
    assert done == sum(count >= stats.MIN_ROUNDS for count in rounds.values())


def killed_after(words: list[str], seconds: float) -> set[tuple[int, int]]:
    """Run the writer, kill it some time after its first round; the rounds it told of."""
    with subprocess.Popen([sys.executable, *words], stdout=subprocess.PIPE, text=True) as run:
        assert run.stdout is not None
        first = run.stdout.readline()
        time.sleep(seconds)
        run.send_signal(signal.SIGKILL)
        lines = (first + run.stdout.read()).splitlines(keepends=True)
    # The last line may be cut off in the middle of a number.
    whole = [line.split() for line in lines if line.endswith("\n")]
    return {(int(session), int(number)) for session, number in whole}


def test_opening_again_leaves_the_locks_of_the_first(tmp_path: Path) -> None:
    """POSIX drops all of a process's locks on a file when it closes any descriptor of it; the
    next process to close the database would then delete the write-ahead log under us."""
    path = tmp_path / "rankwise.db"
    code = (
        "import sys; from rankwise.db import Store\n"
        "with Store.open(sys.argv[1]) as store: store.networks.put('b' * 64, 'b', (1,), ())"
    )
    with Store.open(str(path)) as first:
        first.networks.put("a" * 64, "a", (1,), ())
        with Store.open(str(path), readonly=True) as second:
            assert len(second.networks.all()) == 1
        subprocess.run([sys.executable, "-P", "-c", code, path], check=True)
        assert path.with_name("rankwise.db-wal").exists()
        assert len(first.networks.all()) == 2
