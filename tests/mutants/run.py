"""Put small faults into copies of the tree, one at a time: do the tests notice? `make mutants`.

The faults are cosmic-ray's, drawn with a seed, and the named ones. A run that was interrupted
goes on where it stopped: build/mutants/ keeps what is known, by seed and number.
"""

from __future__ import annotations

import argparse
import difflib
import os
import queue
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType

import faults
from cosmic_ray.work_db import WorkDB, use_db
from cosmic_ray.work_item import TestOutcome, WorkerOutcome, WorkItem, WorkResult
from covering import Covering
from faults import ROOT

BESIDES = shutil.ignore_patterns(".venv", "build", ".git", "__pycache__", ".*_cache", ".hypothesis")
NO_TESTS = 5
"""pytest's status where nothing was left to run."""


class Tests:
    """The tests that are asked about a fault: those that run its line, the quickest first; where
    it runs at import, all that mutants.toml has for its file."""

    def __init__(self, mapping: dict[str, list[str]]) -> None:
        self._mapping = mapping
        self._known: dict[tuple[str, ...], tuple[Covering, float]] = {}

    def prove(self, tree: Path, files: Iterable[str], folder: Path) -> None:
        """See that the tests pass while there is no fault, what they run, and how long it takes."""
        for number, wide in enumerate(sorted({self._wide(file) for file in files})):
            data, began = folder / f"coverage-{number}", time.monotonic()
            words = ["--cov=rankwise", "--cov-context=test", "--cov-report=", "--cov-fail-under=0"]
            more = ["-vv", "--durations=0", "--durations-min=0.0", *words, *wide]
            status, output = pytest(tree, more, 1800, {"COVERAGE_FILE": str(data)})
            if status:
                sys.exit(f"Without any fault, pytest {' '.join(wide)} fails:\n{_last(output)}")
            limit_s = 60 + 3 * (time.monotonic() - began)
            self._known[wide] = Covering(tree, data, output), limit_s

    def notice(self, tree: Path, file: str, line: int) -> str:
        """What noticed the fault at that line of `file` in `tree`; empty if nothing did."""
        wide = self._wide(file)
        covering, limit_s = self._known[wide]
        asked = covering.tests(file, line) or list(wide)
        status, output = pytest(tree, asked, limit_s)
        return _last(output) if status not in (0, NO_TESTS) else ""

    def _wide(self, file: str) -> tuple[str, ...]:
        return tuple(self._mapping.get(file) or self._mapping[Path(file).parts[0]])


def _last(output: str) -> str:
    """The first failure that pytest told of, or else its last words."""
    failed = [line for line in output.splitlines() if line.startswith(("FAILED", "ERROR"))]
    return "\n".join(failed[:1] or output.splitlines()[-20:])


def pytest(
    tree: Path, words: Sequence[str], limit_s: float, more: Mapping[str, str] = MappingProxyType({})
) -> tuple[int, str]:
    """Status and output of pytest in `tree`, whose `rankwise` is the one imported."""
    command = [
        sys.executable,
        "-P",
        "-m",
        "pytest",
        "-x",
        "-q",
        "--tb=no",
        "-p",
        "no:cacheprovider",
    ]
    environment = os.environ | {
        "PYTHONPATH": str(tree.parent),
        "PYTHONDONTWRITEBYTECODE": "1",
        "OMP_NUM_THREADS": "1",
        "CI": "true",  # the same examples for every fault
        **more,
    }
    with subprocess.Popen(
        [*command, *words],
        cwd=tree,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            output, _ = process.communicate(timeout=limit_s)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            return -signal.SIGKILL, f"no end within {limit_s:.0f} s"
    return process.returncode, output


class Trees:
    """Copies of the checkout, one a worker; the checkout itself is never changed."""

    def __init__(self, folder: Path, count: int) -> None:
        self._free: queue.Queue[Path] = queue.Queue()
        for number in range(count):
            tree = folder / str(number) / "rankwise"
            shutil.copytree(ROOT, tree, ignore=BESIDES)
            self._free.put(tree)

    @contextmanager
    def one(self) -> Iterator[Path]:
        tree = self._free.get()
        try:
            yield tree
        finally:
            self._free.put(tree)

    @contextmanager
    def with_fault(self, file: str, source: str) -> Iterator[Path]:
        """A tree whose `file` is `source` for as long as it lasts."""
        with self.one() as tree:
            kept = (tree / file).read_text()
            try:
                (tree / file).write_text(source)
                yield tree
            finally:
                (tree / file).write_text(kept)


def main() -> int:
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("--seed", type=int, required=True)
    words.add_argument("--count", type=int, default=300)
    words.add_argument("--workers", type=int, default=2)
    words.add_argument("--modules", nargs="*", help="instead of those in mutants.toml")
    asked = words.parse_args()
    settings = tomllib.loads((faults.HERE / "mutants.toml").read_text())
    files = faults.source_files(asked.modules or settings["modules"])
    with (
        use_db(_session(asked.seed, asked.count), WorkDB.Mode.create) as session,
        tempfile.TemporaryDirectory() as folder,
    ):
        if not session.num_work_items:
            session.add_work_items(faults.drawn(files, asked.count, asked.seed))
        trees, tests = Trees(Path(folder), asked.workers), Tests(settings["tests"])
        pending = session.pending_work_items
        named = [] if asked.modules else faults.named_faults()
        with trees.one() as tree:
            files = [_file(item) for item in pending] + [fault.file for fault in named]
            tests.prove(tree, files, Path(folder))
        with ThreadPoolExecutor(asked.workers) as pool:
            missed = [
                fault
                for fault in pool.map(lambda f: ask_named(f, trees, tests), named)
                if fault is not None
            ]
            for item, result in pool.map(lambda i: (i, ask(i, trees, tests)), pending):
                session.set_result(item.job_id, result)
        return report(session, missed)


def _session(seed: int, count: int) -> Path:
    path = ROOT / "build" / "mutants" / f"{seed}-{count}.sqlite"
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def _file(item: WorkItem) -> str:
    return Path(item.mutations[0].module_path).as_posix()


def _place(item: WorkItem) -> tuple[str, int]:
    return _file(item), item.mutations[0].start_pos[0]


def ask_named(fault: faults.NamedFault, trees: Trees, tests: Tests) -> faults.NamedFault | None:
    """The fault, if nothing noticed it."""
    source = (ROOT / fault.file).read_text()
    line = source[: source.index(fault.old)].count("\n") + 1
    with trees.with_fault(fault.file, source.replace(fault.old, fault.new)) as tree:
        noticed = tests.notice(tree, fault.file, line)
    print(f"named: {fault.file}: {fault.new!r}: {noticed or 'NOT NOTICED'}", flush=True)
    return None if noticed else fault


def ask(item: WorkItem, trees: Trees, tests: Tests) -> WorkResult:
    file, line = _place(item)
    source = (ROOT / file).read_text()
    mutant = faults.mutated(source, item.mutations[0])
    with trees.with_fault(file, mutant) as tree:
        noticed = tests.notice(tree, file, line)
    print(f"{file}:{line}: {noticed or 'not noticed'}", flush=True)
    return WorkResult(
        WorkerOutcome.NORMAL,
        noticed,
        TestOutcome.KILLED if noticed else TestOutcome.SURVIVED,
        "\n".join(difflib.unified_diff(source.splitlines(), mutant.splitlines(), n=0, lineterm="")),
    )


def report(session: WorkDB, missed: Sequence[faults.NamedFault]) -> int:
    """What was drawn, noticed and noted; the survivors with their lines."""
    equal = {
        (e.file, faults.unspaced(e.line), faults.unspaced(e.mutant)) for e in faults.equal_faults()
    }
    survived = [
        (item, result) for item, result in session.completed_work_items if not result.is_killed
    ]
    open_ones = [(item, result) for item, result in survived if _key(item) not in equal]
    for item, result in sorted(open_ones, key=lambda pair: _place(pair[0])):
        print("\nsurvivor {}:{}".format(*_place(item)))
        print("\n".join(line for line in (result.diff or "").splitlines()[2:] if line[:2] != "@@"))
    drawn, noted = session.num_results, len(survived) - len(open_ones)
    noticed = drawn - len(survived)
    print(
        f"\ndrawn {drawn}, noticed {noticed}, noted as equal in effect {noted}, "
        f"survivors {len(open_ones)}; noticed or noted {(noticed + noted) / max(drawn, 1):.1%}; "
        f"named faults not noticed: {len(missed)}"
    )
    return 1 if missed or noticed + noted < 0.9 * drawn else 0


def _key(item: WorkItem) -> tuple[str, str, str]:
    source = (ROOT / _file(item)).read_text()
    return _file(item), *faults.changed_lines(source, faults.mutated(source, item.mutations[0]))


if __name__ == "__main__":
    sys.exit(main())
