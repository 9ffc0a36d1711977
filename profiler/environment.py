"""Checks of the machine: clock, load, frequency policy, CPU limits. Each says what it read and
what to change; paths are parameters, so that tests can plant a machine."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from .memory import CGROUP

CPUS = Path("/sys/devices/system/cpu")
THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
COARSEST_TIMER_S = 1e-6
"""A round lasts about 10 ms: a microsecond is a ten-thousandth of it."""
MAX_BUSY = 0.15
"""Share of one processor that all other processes together may take."""
MAX_STEAL = 0.01
MIN_MEMORY_GIB = 1.0


@dataclass(frozen=True, slots=True)
class EnvironmentCheck:
    """What one check read; `advice` is empty where nothing needs to change."""

    name: str
    ok: bool
    value: str
    advice: str = ""


def _check(name: str, ok: bool, value: str, advice: str) -> EnvironmentCheck:
    return EnvironmentCheck(name, ok, value, "" if ok else advice)


def timer() -> EnvironmentCheck:
    """Check the smallest step of the clock that timings are read from."""
    step = min(_step() for _ in range(200))
    advice = "use a kernel clock source with finer steps (tsc, arch_sys_counter)"
    return _check("timer", step <= COARSEST_TIMER_S, f"{step * 1e9:.0f} ns", advice)


def _step() -> float:
    start = now = time.perf_counter()
    while now == start:
        now = time.perf_counter()
    return now - start


def load(seconds: float = 1.0) -> EnvironmentCheck:
    """Check what other processes take of the processors that this one may use."""
    before, own = _busy_s(), time.process_time()
    time.sleep(seconds)
    busy = max(_busy_s() - before - (time.process_time() - own), 0.0) / seconds
    value = f"others keep {busy:.2f} of {len(usable_cores())} processors busy"
    advice = "stop other work on this machine, or measure when it is idle"
    return _check("load", busy <= MAX_BUSY, value, advice)


def _busy_s() -> float:
    """Return the seconds that this process's processors have not been idle."""
    times = psutil.cpu_times(percpu=True)
    return sum(
        float(sum(times[n]) - times[n].idle - getattr(times[n], "iowait", 0.0))
        for n in usable_cores()
        if n < len(times)
    )


def steal(before: float, after: float, seconds: float) -> EnvironmentCheck:
    """Check the time that a hypervisor gave to others, between two readings of `stolen_s`."""
    share = max(after - before, 0.0) / max(seconds * len(usable_cores()), 1e-9)
    advice = "the hypervisor gives this machine's time to others: use another one"
    return _check("steal", share <= MAX_STEAL, f"{share:.1%}", advice)


def stolen_s() -> float:
    """Return the seconds that a hypervisor has given to others since the machine started."""
    return float(getattr(psutil.cpu_times(), "steal", 0.0))


def frequency(cpus: Path = CPUS) -> EnvironmentCheck:
    """Check the governors of the processors; a container or a virtual machine hides them."""
    governors = {_read(file) for file in cpus.glob("cpu[0-9]*/cpufreq/scaling_governor")} - {""}
    if not governors:
        return EnvironmentCheck("frequency policy", True, "not visible here")
    value, ok = ", ".join(sorted(governors)), governors == {"performance"}
    advice = "choose it with `cpupower frequency-set --governor performance`"
    return _check("frequency policy", ok, value, advice)


def boost(cpus: Path = CPUS) -> EnvironmentCheck:
    """Report boost. It follows temperature and load; pairs cancel most of that: it is no fault."""
    turbo, on = _read(cpus / "intel_pstate/no_turbo"), _read(cpus / "cpufreq/boost")
    if not turbo and not on:
        return EnvironmentCheck("boost", True, "not visible here")
    return EnvironmentCheck("boost", True, "on" if turbo == "0" or on == "1" else "off")


def threads(asked: int, environment: Mapping[str, str] = os.environ) -> EnvironmentCheck:
    """Check the threads asked for against the usable processors and the environment's variables."""
    cores = len(usable_cores())
    given = {n: environment[n] for n in THREAD_VARIABLES if n in environment}
    others = [f"{name}={value}" for name, value in given.items() if value != str(asked)]
    value = ", ".join([f"{asked} of {cores} processors", *others])
    advice = f"ask for at most {cores} with --threads"
    return _check("threads", asked <= cores, value, advice)


def cpu_limit(asked: int, root: Path = CGROUP) -> EnvironmentCheck:
    """Check a container's quota: once it is used up, all threads wait for the next period."""
    quota = cpu_quota(root)
    if quota is None:
        return EnvironmentCheck("CPU limit", True, "none")
    advice = "raise the container's CPU limit, or pin it to whole processors instead"
    return _check("CPU limit", quota >= asked + 0.5, f"{quota:g} processors", advice)


def cpu_quota(root: Path = CGROUP) -> float | None:
    """Return the processors' worth of time that the control group may use; None without a limit."""
    with suppress(ValueError):
        quota, period = _read(root / "cpu.max").split()
        return None if quota == "max" else int(quota) / int(period)
    with suppress(ValueError):
        limit = int(_read(root / "cpu/cpu.cfs_quota_us"))
        return None if limit <= 0 else limit / int(_read(root / "cpu/cpu.cfs_period_us"))
    return None


def throttled(root: Path = CGROUP) -> int:
    """Return how often the control group was made to wait since it exists."""
    for file in (root / "cpu.stat", root / "cpu/cpu.stat"):
        for line in _read(file).splitlines():
            name, _, value = line.partition(" ")
            if name == "nr_throttled":
                return int(value)
    return 0


def throttling(before: int, after: int) -> EnvironmentCheck:
    """Check whether the control group had to wait between two readings of `throttled`."""
    count = max(after - before, 0)
    advice = "the container's CPU limit stopped the measurement: raise it"
    return _check("throttling", not count, f"{count} times", advice)


def memory() -> EnvironmentCheck:
    """Check the memory that is free."""
    free = psutil.virtual_memory().available / 2**30
    advice = f"free memory: less than {MIN_MEMORY_GIB:g} GiB leads to swapping"
    return _check("memory", free >= MIN_MEMORY_GIB, f"{free:.1f} GiB available", advice)


def usable_cores() -> list[int]:
    """Return the processors that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def static_checks(asked: int) -> Iterable[EnvironmentCheck]:
    """Run every check that needs no measurement."""
    return (timer(), load(), frequency(), boost(), threads(asked), cpu_limit(asked), memory())


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8").strip()
    except OSError:
        return ""
