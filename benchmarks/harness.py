"""What the benchmarks share: results that survive an interruption, a budget, doctor first.

    python benchmarks/aa.py results.jsonl --budget 20m

Each result is a line of JSON in the file that is named; a run that is taken up again does what
is missing. When the budget is spent, the table of what there is so far is printed, and the next
run goes on. On a machine that is not fit to measure, the figures say so: doctor's verdict is in
the file and above the table.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rankwise.workflow.doctor import doctor

Row = dict[str, Any]
BUSY = """
import os, time
if hasattr(os, "sched_setaffinity"):  # it goes where it likes, wherever the benchmark is kept
    os.sched_setaffinity(0, range(os.cpu_count()))
parent = os.getppid()
while os.getppid() == parent:  # it ends with the benchmark, however that ends
    end = time.monotonic() + 0.7
    while time.monotonic() < end:
        pass
    time.sleep(0.5)
"""


class Log:
    """Rows in a file of JSON lines, one commit each."""

    def __init__(self, path: Path) -> None:
        self.path = path
        lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
        self.rows: list[Row] = [json.loads(line) for line in lines if line.endswith("}")]

    def add(self, **row: Any) -> None:
        self.rows.append(row)
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(row) + "\n")

    def of(self, **wanted: Any) -> list[Row]:
        return [row for row in self.rows if wanted.items() <= row.items()]


class Budget:
    """Seconds that may be spent; `left` says whether any are."""

    def __init__(self, seconds: float) -> None:
        self.end = time.monotonic() + seconds

    @property
    def left(self) -> bool:
        return time.monotonic() < self.end


def arguments(description: str, **options: Any) -> argparse.Namespace:
    """The command line that all benchmarks have, and options of their own by name with their
    defaults; one whose default is False is a flag."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("output", type=Path, help="file of JSON lines; goes on where it is")
    parser.add_argument("--budget", type=duration, default=1200.0, help="such as 90s, 20m, 2h")
    parser.add_argument("--no-doctor", action="store_true", help="where no clock is read")
    for name, default in options.items():
        option = f"--{name.replace('_', '-')}"
        if default is False:
            parser.add_argument(option, action="store_true")
        else:
            parser.add_argument(option, type=type(default), default=default)
    return parser.parse_args()


def duration(text: str) -> float:
    return float(text[:-1]) * {"s": 1.0, "m": 60.0, "h": 3600.0}[text[-1]]


def begin(
    options: argparse.Namespace, backend: str = "onnxruntime-cpu", threads: int = 1
) -> tuple[Log, Budget]:
    """The log and the budget, after doctor's verdict."""
    log = Log(options.output)
    if not options.no_doctor:
        found = doctor(backend, threads=threads)
        bad = [f"{c.name}: {c.value}" for c in found.checks if not c.ok]
        said = "fit to measure" if found.fit else f"not fit to measure ({'; '.join(bad)})"
        log.add(kind="doctor", fit=found.fit, said=said, at=time.time())
        print(f"doctor: this machine is {said}", flush=True)
    return log, Budget(options.budget)


@contextmanager
def busy_neighbour(wanted: bool) -> Iterator[None]:
    """A second process that keeps a core busy on and off."""
    if not wanted:
        yield
        return
    process = subprocess.Popen([sys.executable, "-c", BUSY])
    try:
        yield
    finally:
        process.kill()
        process.wait()


def show(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """A table on standard output."""
    cells = [list(columns), *([_cell(value) for value in row] for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for row in cells:
        print("  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)))


def _cell(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def verdict(name: str, figure: Any, ok: bool, wanted: str) -> None:
    print(f"{name}: {_cell(figure)} (wanted {wanted}) {'met' if ok else 'NOT MET'}")


def until(budget: Budget, done: Callable[[], int], wanted: int) -> Iterator[int]:
    """Numbers of what is still to be done, while the budget lasts."""
    while done() < wanted and budget.left:
        yield done()
