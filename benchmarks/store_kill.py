"""`kill -9` at random moments of a writing profile, hundreds of times, on SQLite or PostgreSQL.

    python benchmarks/store_kill.py sqlite:////tmp/kill.db --kills 200
    python benchmarks/store_kill.py postgresql://USER@HOST/NAME --kills 200 --budget 600

Each time `rankwise.profile` measures a small network on the fake backend, in a process forked
from one that has everything loaded, and says of each round, once its commit has returned, which
samples it holds. After a random number of rounds, and a random moment more, the process and its
measuring child are killed. Then every sample that was ever acknowledged must be there as it was,
none twice, and, once the cut-off session is ended as the next profile would do it, `db check`
must have nothing to say. Stops early at the budget (seconds); a second call goes on in the same
database.
"""

from __future__ import annotations

import argparse
import os
import random
import signal
import sys
import time
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import onnx
from sqlalchemy import create_engine, text

from rankwise.db import Store
from rankwise.db.sessions import Sessions
from rankwise.db.url import locate
from rankwise.records import Sample
from rankwise.workflow.profile import profile

MAX_ROUNDS = 60
CHANNELS = (3, 32, 48, 64)
Row = tuple[Any, ...]


def network(path: Path) -> Path:
    """Three convolutions, one after the other."""
    rng, nodes, weights = np.random.default_rng(0), [], []
    for number, (c_in, c_out) in enumerate(pairwise(CHANNELS)):
        weight = rng.standard_normal((c_out, c_in, 3, 3)).astype(np.float32)
        weights.append(onnx.numpy_helper.from_array(weight, f"w{number}"))
        names = [f"x{number}", f"w{number}"], [f"x{number + 1}"]
        nodes.append(onnx.helper.make_node("Conv", *names, name=f"conv{number}", pads=[1] * 4))
    shapes = ((f"x{n}", [1, CHANNELS[n], 16, 16]) for n in (0, len(nodes)))
    ends = [[onnx.helper.make_tensor_value_info(n, onnx.TensorProto.FLOAT, s)] for n, s in shapes]
    graph = onnx.helper.make_graph(nodes, "small", *ends, weights)
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)])
    onnx.save(model, path)
    return path


def measure(model: Path, url: str, pipe: int) -> None:
    """In the forked process: measure again and again, until the kill."""
    os.setsid()
    silent = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silent, 2)
    commit = Sessions.add_round

    def add_round(sessions: Sessions, session_id: int, timed: Sequence[Sample]) -> None:
        commit(sessions, session_id, timed)
        words = (f"{session_id} {s.workload_key} {s.round} {s.seconds!r}" for s in timed)
        os.write(pipe, ("".join(f"{line}\n" for line in words)).encode())

    Sessions.add_round = add_round  # type: ignore[method-assign]
    while True:
        profile(str(model), backend="fake", db=url, rank_quantum=4, refresh=True)


def killed(model: Path, url: str, rng: random.Random) -> set[Row]:
    """The samples that one process acknowledged before it was killed."""
    receive, send = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            measure(model, url, send)
        finally:
            os._exit(1)
    os.close(send)
    wanted, found, heard = rng.randrange(MAX_ROUNDS), b"", 0
    with os.fdopen(receive, "rb", buffering=0) as pipe:
        while heard <= wanted and (block := pipe.read(65536)):
            heard, found = heard + 1, found + block
        time.sleep(rng.uniform(0.0, 0.02))
        os.killpg(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
        while block := pipe.read(65536):
            found += block
    lines = found.decode().splitlines(keepends=True)
    rows = [line.split() for line in lines if line.endswith("\n")]
    if not rows:
        sys.exit("a process ended before its first round: run `rankwise profile` to see why")
    return {(int(session), key, int(r), float(s)) for session, key, r, s in rows}


def stored(url: str) -> list[Row]:
    engine = create_engine(locate(url).engine_url)
    query = (
        "SELECT x.session_id, w.key, x.round, x.seconds FROM samples x "
        "JOIN workloads w ON w.id = x.workload_id"
    )
    with engine.connect() as connection:
        rows = [tuple(row) for row in connection.execute(text(query))]
    engine.dispose()
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("url")
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--budget", type=float, default=3600.0, help="seconds")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    rng, began = random.Random(options.seed), time.monotonic()
    acknowledged: set[Row] = set()
    kills = lost = double = unclean = 0
    with TemporaryDirectory() as folder:
        model = network(Path(folder) / "small.onnx")
        while kills < options.kills and time.monotonic() - began < options.budget:
            acknowledged |= killed(model, options.url, rng)
            kills += 1
            rows = stored(options.url)
            lost = len(acknowledged - set(rows))
            double = len(rows) - len({row[:3] for row in rows})
            with Store.open(options.url) as store:
                store.sessions.recover()
                problems = store.check()
            unclean += bool(problems)
            if lost or double or problems:
                print(f"kill {kills}: {lost} lost, {double} double, {problems}", flush=True)
    elapsed = time.monotonic() - began
    print(
        f"{locate(options.url).name}: {kills} kills in {elapsed:.0f} s, {len(acknowledged)} "
        f"samples acknowledged, {len(rows)} stored: {lost} lost, {double} double, db check not "
        f"clean {unclean} times"
    )
    sys.exit(1 if lost or double or unclean or kills < options.kills else 0)


if __name__ == "__main__":
    main()
