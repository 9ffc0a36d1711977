"""Compiling ONNX for Ascend with `atc`: bounded in time, cached, several at once.

A compiled model (`.om`) is kept under the hash of all that it depends on: the ONNX file, the
chip, CANN's version and the flags. `atc` writes `kernel_meta` into its working folder and may
add the system to the name that it was given, so it runs in a folder of its own.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

from ..errors import MeasurementError
from ..records import content_key

SAID = re.compile(r"^\W*(E[A-Z0-9]\d{4}\b.*)$", re.MULTILINE)
"""An error of CANN's: a letter, the module, four digits; `atc` prints it on standard output."""
COMPILE_TIMEOUT_S = 600.0


@dataclass(frozen=True, slots=True)
class Order:
    """What one compilation is of. `flags` are all but file names and the chip."""

    onnx: bytes
    soc: str
    cann: str
    flags: tuple[str, ...]

    @property
    def key(self) -> str:
        return content_key([sha256(self.onnx).hexdigest(), self.soc, self.cann, *self.flags])


class OutOfTime(MeasurementError):
    """The compilation was ended; `timeout` is its stage."""

    def __init__(self, seconds: float) -> None:
        super().__init__(f"atc was ended after {seconds:.0f} s", "timeout")


def default_cache() -> Path:
    """`RANKWISE_CACHE`, or `rankwise` in the user's cache folder; ours is `ascend` in it."""
    home = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
    return Path(os.environ.get("RANKWISE_CACHE") or Path(home, "rankwise")) / "ascend"


def find_atc() -> str:
    """The program, on PATH or where CANN's environment says; empty if it is in neither."""
    places = [os.environ.get(name) for name in ("ASCEND_TOOLKIT_HOME", "ASCEND_HOME_PATH")]
    inside = (shutil.which("atc", path=str(Path(place, "bin"))) for place in places if place)
    return shutil.which("atc") or next(filter(None, inside), "")


@dataclass
class Compiler:
    """`atc` with a cache. Safe to use from several threads and several processes."""

    program: str
    cache: Path = field(default_factory=default_cache)
    timeout_s: float = COMPILE_TIMEOUT_S
    jobs: int = field(default_factory=lambda: max(1, min(4, (os.cpu_count() or 1) // 2)))
    _running: set[subprocess.Popen[str]] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def place(self, order: Order) -> Path:
        return self.cache / f"{order.key}.om"

    def compiled(self, order: Order, timeout_s: float | None = None) -> Path:
        """The `.om`, from the cache or made now.

        Raises `MeasurementError`: stage `convert` with atc's own words, or `OutOfTime`.
        """
        place = self.place(order)
        if not place.exists():
            self._compile(order, place, self.timeout_s if timeout_s is None else timeout_s)
        return place

    def _compile(self, order: Order, place: Path, timeout_s: float) -> None:
        self.cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=self.cache, prefix=".atc-") as scratch:
            folder = Path(scratch)
            (folder / "model.onnx").write_bytes(order.onnx)
            command = self._command(order)
            started = time.monotonic()
            status, output = self._run(command, folder, timeout_s)
            made = sorted(folder.glob("model*.om"))
            if status or not made:
                raise MeasurementError(f"atc refused it: {_reason(status, output)}", "convert")
            note = {
                "command": command,
                "soc": order.soc,
                "cann": order.cann,
                "seconds": round(time.monotonic() - started, 1),
            }
            place.with_suffix(".json").write_text(json.dumps(note, indent=1), encoding="utf-8")
            made[0].replace(place)  # last, and at once: what is there is whole

    def _command(self, order: Order) -> list[str]:
        """Names relative to the working folder, because atc refuses many characters in paths."""
        return [
            self.program,
            "--model=model.onnx",
            "--framework=5",
            "--output=model",
            f"--soc_version={order.soc}",
            *order.flags,
        ]

    def _run(self, command: list[str], folder: Path, timeout_s: float) -> tuple[int, str]:
        """(status, standard output and error). The whole group is ended: atc is a script."""
        with self._started(command, folder) as process:
            try:
                output, _ = process.communicate(timeout=timeout_s)
            except subprocess.TimeoutExpired:
                _kill(process)
                raise OutOfTime(timeout_s) from None
            except BaseException:
                _kill(process)
                raise
        return process.returncode, output

    @contextmanager
    def _started(self, command: list[str], folder: Path) -> Iterator[subprocess.Popen[str]]:
        try:
            process = subprocess.Popen(
                command,
                cwd=folder,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                env=self._environment(),
                start_new_session=True,
                encoding="utf-8",
                errors="replace",
            )
        except OSError as error:
            raise MeasurementError(f"atc does not start: {error}", "convert") from error
        with self._lock:
            self._running.add(process)
        try:
            yield process
        finally:
            with self._lock:
                self._running.discard(process)
            if process.stdout is not None:
                process.stdout.close()

    def _environment(self) -> dict[str, str]:
        """atc starts eight compilers of its own unless told otherwise: share the processor."""
        share = max(1, (os.cpu_count() or 1) // self.jobs)
        return {"TE_PARALLEL_COMPILER": str(min(share, 32)), **os.environ}

    def compile_all(
        self, orders: Mapping[str, Callable[[], Order]], budget_s: float | None
    ) -> dict[str, str]:
        """Key -> empty, or why not; see `base.CompilesAhead`. `orders` are made when their turn
        comes, in the order given. Whatever interrupts this ends what is running."""
        deadline = None if budget_s is None else time.monotonic() + budget_s
        found: dict[str, str] = {}

        def one(key: str) -> None:
            reason = self._within(orders[key], deadline)
            if reason is not None:
                found[key] = reason

        pool = ThreadPoolExecutor(self.jobs, thread_name_prefix="atc")
        try:
            list(pool.map(one, orders))
        finally:
            pool.shutdown(wait=False, cancel_futures=True)
            self._end_all()
        return {key: found[key] for key in orders if key in found}

    def _within(self, make: Callable[[], Order], deadline: float | None) -> str | None:
        """Empty, a reason, or None if there was no time. What is in the cache needs none."""
        try:
            order = make()
            left = None if deadline is None else deadline - time.monotonic()
            if left is not None and left <= 0 and not self.place(order).exists():
                return None
            limit = self.timeout_s if left is None else min(self.timeout_s, left)
            self.compiled(order, limit)
        except OutOfTime as error:
            return None if limit < self.timeout_s else str(error)
        except MeasurementError as error:
            return str(error)
        return ""

    def _end_all(self) -> None:
        with self._lock:
            running = list(self._running)
        for process in running:
            _kill(process)


def _kill(process: subprocess.Popen[str]) -> None:
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
    with suppress(subprocess.TimeoutExpired):
        process.wait(timeout=5)


def _reason(status: int, output: str) -> str:
    """CANN's own error line where there is one, else the last line, else the status."""
    found = SAID.search(output)
    if found:
        return found.group(1).strip()[:300]
    lines: Sequence[str] = [line.strip() for line in output.splitlines() if line.strip()]
    return lines[-1][:300] if lines else f"it ended with status {status} and said nothing"
