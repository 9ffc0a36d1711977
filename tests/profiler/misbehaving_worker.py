"""A worker with a backend that crashes, hangs and prints, by the workload's key.

test_executor.py runs it in place of `rankwise.profiler.worker`, with the same arguments.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from typing import Any

from rankwise.errors import MeasurementError
from rankwise.profiler import worker


class Misbehaving:
    name = "misbehaving"
    accepts = (object,)

    def prepare(self, workload: Any, _policy: object) -> Misbehaving.Runner:
        behave("prepare", workload.key)
        return self.Runner(workload.key)

    class Runner:
        def __init__(self, key: str) -> None:
            self.key = key

        def run(self, loops: int) -> Mapping[str, float]:
            behave("run", self.key)
            if self.key == "nonsense-run":
                return "no times at all"  # type: ignore[return-value]
            if self.key == "lies-run":
                return {"host": float("nan")}
            # the process's number as a time: the test can see which worker answered
            return {"host": float(os.getpid()), "loops": float(loops)}

        def close(self) -> None:
            behave("close", self.key)


def behave(when: str, key: str) -> None:
    """Keys read `what-when`, such as `crash-run`; any other key behaves."""
    what, _, at = key.partition("-")
    if at == when and what in MISDEEDS:
        MISDEEDS[what]()


def garbage() -> None:
    for descriptor in (1, 2):
        os.write(descriptor, b'{"seconds": {"host": -1}}\n\xff\x00garbage' * 20_000)
    print("more of it")


def crash() -> None:
    sys.stderr.write("first line\nabout to crash\n")
    os.kill(os.getpid(), signal.SIGSEGV)


def leave() -> None:
    os._exit(7)


def hang() -> None:
    orphan = subprocess.Popen(["sleep", "600"])
    print(f"orphan {orphan.pid}", flush=True)
    time.sleep(600)


def bloat() -> None:
    kept = []
    for _ in range(30 * 16):  # 30 GB, every page touched
        kept.append(bytearray(b"x") * (64 * 2**20))
        time.sleep(0.01)


def refuse() -> None:
    raise MeasurementError("it will not convert", "convert")


def bug() -> None:
    raise ZeroDivisionError("by\nzero")


MISDEEDS = {
    "garbage": garbage,
    "crash": crash,
    "exit": leave,
    "hang": hang,
    "bloat": bloat,
    "refuse": refuse,
    "bug": bug,
}


def open_backend(text: str) -> Misbehaving:
    if text == "absent":
        raise worker.MeasurementError("no such device")
    if text == "dead":
        os._exit(3)
    return Misbehaving()


if __name__ == "__main__":
    worker.open_backend = open_backend
    worker.main(sys.argv[1:])
