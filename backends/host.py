"""Facts about this machine's processor, for the fingerprints of backends that compute on it."""

from __future__ import annotations

import os
import platform
import subprocess
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

import psutil

ISA_FLAGS = (
    *("amx_bf16", "amx_int8", "amx_tile"),
    *("avx512_bf16", "avx512_fp16", "avx512_vnni", "avx512f", "avx_vnni", "avx2", "fma"),
    *("sve2", "sve", "i8mm", "bf16", "asimddp", "asimdhp", "asimd", "neon"),
)
"""Instruction sets that kernels are chosen by, from the CPU's own list of flags."""

CPUS = Path("/sys/devices/system/cpu")


def cpu_hardware() -> dict[str, str]:
    """Chip, cores that this process may use, memory in GiB, ISA: what `hardware_key` is of."""
    described = _cpuinfo()
    usable = _usable_cpus()
    return {
        "chip": _chip(described),
        "cores": str(len(usable)),
        "physical_cores": str(_physical_cores(usable)),
        "memory_gib": str(round(psutil.virtual_memory().total / 2**30)),
        "isa": " ".join([platform.machine(), *_isa(described)]),
    }


def host_run_metadata() -> dict[str, str]:
    """Load, clock, free memory as they are now, and which process asks."""
    return {
        "load_1m": f"{psutil.getloadavg()[0]:.2f}",
        "cpu_mhz": _clock_mhz(),
        "available_gib": f"{psutil.virtual_memory().available / 2**30:.1f}",
        "pid": str(os.getpid()),
    }


def _clock_mhz() -> str:
    with suppress(OSError, RuntimeError, AttributeError):  # many containers hide it
        if frequency := psutil.cpu_freq():
            return f"{frequency.current:.0f}"
    return "unknown"


def _usable_cpus() -> list[int]:
    """Numbers of the logical processors that this process may run on."""
    try:
        return sorted(os.sched_getaffinity(0))
    except AttributeError:  # not on every system
        return list(range(os.cpu_count() or 1))


def _physical_cores(usable: list[int]) -> int:
    """Two threads of one core share its arithmetic units, so they are not two cores."""
    try:
        return len({_core(number) for number in usable})
    except OSError:
        return min(psutil.cpu_count(logical=False) or len(usable), len(usable))


def _core(number: int) -> tuple[str, ...]:
    topology = CPUS / f"cpu{number}" / "topology"
    return tuple((topology / part).read_text() for part in ("physical_package_id", "core_id"))


def _chip(described: Mapping[str, str]) -> str:
    """Its name; on Arm, where Linux gives none, implementer and part number."""
    if name := described.get("model name"):
        return name
    if part := described.get("CPU part"):
        return f"implementer {described.get('CPU implementer', '?')} part {part}"
    return _apple_chip() or platform.processor() or platform.machine()


def _apple_chip() -> str:
    if platform.system() != "Darwin":
        return ""
    command = ["/usr/sbin/sysctl", "-n", "machdep.cpu.brand_string"]
    with suppress(OSError, subprocess.SubprocessError):
        done = subprocess.run(command, capture_output=True, text=True, timeout=5, check=True)
        return done.stdout.strip()
    return ""


def _cpuinfo() -> dict[str, str]:
    """The first processor's entry of /proc/cpuinfo; empty where there is no such file."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return {}
    pairs = (line.partition(":") for line in text.split("\n\n", 1)[0].splitlines())
    return {key.strip(): value.strip() for key, _, value in pairs}


def _isa(described: Mapping[str, str]) -> list[str]:
    flags = (described.get("flags") or described.get("Features") or "").split()
    return [flag for flag in ISA_FLAGS if flag in flags]
