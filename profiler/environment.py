"""What surrounds a measurement: clock, load, frequency policy, CPU limits. Each check says
what was found and what to change; paths are parameters, so that tests can plant a machine."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

CPUS = Path("/sys/devices/system/cpu")
CGROUP = Path("/sys/fs/cgroup")
THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
COARSEST_TIMER_S = 1e-6
"""A round lasts about 10 ms: a microsecond is a ten-thousandth of it."""
MAX_BUSY = 0.15
"""Of one processor, all others together."""
MAX_STEAL = 0.01
MIN_MEMORY_GIB = 1.0


@dataclass(frozen=True, slots=True)
class EnvironmentCheck:
    """`advice` is empty where nothing needs to change."""

    name: str
    ok: bool
    value: str
    advice: str = ""


def timer() -> EnvironmentCheck:
    """The smallest step of the clock that timings are read from."""
    step = min(_step() for _ in range(200))
    ok = step <= COARSEST_TIMER_S
    advice = "" if ok else "use a kernel clock source with finer steps (tsc, arch_sys_counter)"
    return EnvironmentCheck("timer", ok, f"{step * 1e9:.0f} ns", advice)


def _step() -> float:
    start = now = time.perf_counter()
    while now == start:
        now = time.perf_counter()
    return now - start


def load(seconds: float = 1.0) -> EnvironmentCheck:
    """What other processes take from the processors that this one may use."""
    cores = usable_cores()
    before, own = _busy_s(), time.process_time()
    time.sleep(seconds)
    busy = max(_busy_s() - before - (time.process_time() - own), 0.0) / seconds
    ok = busy <= MAX_BUSY
    advice = "" if ok else "stop other work on this machine, or measure when it is idle"
    return EnvironmentCheck(
        "load", ok, f"others keep {busy:.2f} of {len(cores)} processors busy", advice
    )


def _busy_s() -> float:
    """Seconds that this process's processors have not been idle."""
    times = psutil.cpu_times(percpu=True)
    return sum(
        float(sum(times[n]) - times[n].idle - getattr(times[n], "iowait", 0.0))
        for n in usable_cores()
        if n < len(times)
    )


def steal(before: float, after: float, seconds: float) -> EnvironmentCheck:
    """Time that a hypervisor gave to others, between two readings of `stolen_s`."""
    share = max(after - before, 0.0) / max(seconds * len(usable_cores()), 1e-9)
    ok = share <= MAX_STEAL
    advice = "" if ok else "the hypervisor gives this machine's time to others: use another one"
    return EnvironmentCheck("steal", ok, f"{share:.1%}", advice)


def stolen_s() -> float:
    return float(getattr(psutil.cpu_times(), "steal", 0.0))


def frequency(cpus: Path = CPUS) -> EnvironmentCheck:
    """The governors of the processors; a container or a virtual machine hides them."""
    found = {_read(file) for file in cpus.glob("cpu[0-9]*/cpufreq/scaling_governor")} - {""}
    if not found:
        return EnvironmentCheck("frequency policy", True, "not visible here")
    ok = found == {"performance"}
    advice = "" if ok else "choose it with `cpupower frequency-set --governor performance`"
    return EnvironmentCheck("frequency policy", ok, ", ".join(sorted(found)), advice)


def boost(cpus: Path = CPUS) -> EnvironmentCheck:
    """Boost follows temperature and neighbours; pairs cancel most of that, so it is no fault."""
    turbo, on = _read(cpus / "intel_pstate/no_turbo"), _read(cpus / "cpufreq/boost")
    if not turbo and not on:
        return EnvironmentCheck("boost", True, "not visible here")
    return EnvironmentCheck("boost", True, "on" if turbo == "0" or on == "1" else "off")


def threads(asked: int, environment: Mapping[str, str] = os.environ) -> EnvironmentCheck:
    """Threads asked for against processors that may be used, and against the environment."""
    cores = len(usable_cores())
    said = {n: environment[n] for n in THREAD_VARIABLES if n in environment}
    others = [f"{name}={value}" for name, value in said.items() if value != str(asked)]
    value = ", ".join([f"{asked} of {cores} processors", *others])
    if asked > cores:
        return EnvironmentCheck("threads", False, value, f"ask for at most {cores} with --threads")
    return EnvironmentCheck("threads", True, value)


def cpu_limit(asked: int, root: Path = CGROUP) -> EnvironmentCheck:
    """A container's quota: once it is used up, all threads stand still until the next period."""
    quota = cpu_quota(root)
    if quota is None:
        return EnvironmentCheck("CPU limit", True, "none")
    ok = quota >= asked + 0.5
    advice = "" if ok else "raise the container's CPU limit, or pin it to whole processors instead"
    return EnvironmentCheck("CPU limit", ok, f"{quota:g} processors", advice)


def cpu_quota(root: Path = CGROUP) -> float | None:
    """Processors' worth of time that the control group may use; None without a limit."""
    with suppress(ValueError):
        quota, period = _read(root / "cpu.max").split()
        return None if quota == "max" else int(quota) / int(period)
    with suppress(ValueError):
        limit = int(_read(root / "cpu/cpu.cfs_quota_us"))
        return None if limit <= 0 else limit / int(_read(root / "cpu/cpu.cfs_period_us"))
    return None


def throttled(root: Path = CGROUP) -> int:
    """How often the control group was made to wait since it exists."""
    for file in (root / "cpu.stat", root / "cpu/cpu.stat"):
        for line in _read(file).splitlines():
            name, _, value = line.partition(" ")
            if name == "nr_throttled":
                return int(value)
    return 0


def throttling(before: int, after: int) -> EnvironmentCheck:
    count = max(after - before, 0)
    advice = "" if not count else "the container's CPU limit stopped the measurement: raise it"
    return EnvironmentCheck("throttling", not count, f"{count} times", advice)


def memory() -> EnvironmentCheck:
    free = psutil.virtual_memory().available / 2**30
    ok = free >= MIN_MEMORY_GIB
    advice = "" if ok else f"free memory: less than {MIN_MEMORY_GIB:g} GiB leads to swapping"
    return EnvironmentCheck("memory", ok, f"{free:.1f} GiB available", advice)


def usable_cores() -> list[int]:
    """Processors that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def still(asked: int) -> Iterable[EnvironmentCheck]:
    """All that can be read without measuring."""
    return (timer(), load(), frequency(), boost(), threads(asked), cpu_limit(asked), memory())


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8").strip()
    except OSError:
        return ""
