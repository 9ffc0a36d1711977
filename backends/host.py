"""Facts about this machine's processor, for the fingerprints of backends that compute on it."""

from __future__ import annotations

import os
import platform
from pathlib import Path

import psutil

ISA_FLAGS = ("amx_tile", "avx512_vnni", "avx512f", "avx2", "sve", "asimd")
"""Instruction sets that kernels are chosen by, from the CPU's own list of flags."""


def cpu_hardware() -> dict[str, str]:
    """Chip, cores that this process may use, memory in GiB, ISA: what `hardware_key` is of."""
    described = _cpuinfo()
    return {
        "chip": described.get("model name") or platform.processor() or platform.machine(),
        "cores": str(_usable_cores()),
        "memory_gib": str(round(psutil.virtual_memory().total / 2**30)),
        "isa": " ".join([platform.machine(), *_isa(described)]),
    }


def host_circumstances() -> dict[str, str]:
    """Load and clock as they are now."""
    frequency = psutil.cpu_freq()
    return {
        "load_1m": f"{os.getloadavg()[0]:.2f}",
        "cpu_mhz": f"{frequency.current:.0f}" if frequency else "unknown",
        "available_gib": f"{psutil.virtual_memory().available / 2**30:.1f}",
    }


def _usable_cores() -> int:
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on every system
        return os.cpu_count() or 1


def _cpuinfo() -> dict[str, str]:
    """The first processor's entry of /proc/cpuinfo; empty where there is no such file."""
    path = Path("/proc/cpuinfo")
    if not path.exists():
        return {}
    entry = path.read_text(encoding="utf-8", errors="replace").split("\n\n", 1)[0]
    pairs = (line.partition(":") for line in entry.splitlines())
    return {key.strip(): value.strip() for key, _, value in pairs}


def _isa(described: dict[str, str]) -> list[str]:
    flags = (described.get("flags") or described.get("Features") or "").split()
    return [flag for flag in ISA_FLAGS if flag in flags]
