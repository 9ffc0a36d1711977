"""What doctor reads, on machines that are planted as files."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from rankwise.profiler import environment


def write(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text + "\n")
    return root


def test_the_timer_has_a_step() -> None:
    check = environment.timer()
    assert float(check.value.split()[0]) >= 0
    assert check.ok or check.advice


@pytest.mark.parametrize(
    ("governors", "ok", "value"),
    [
        ([], True, "not visible"),
        (["performance", "performance"], True, "performance"),
        (["performance", "powersave"], False, "performance, powersave"),
    ],
)
def test_governors(tmp_path: Path, governors: list[str], ok: bool, value: str) -> None:
    files = {f"cpu{n}/cpufreq/scaling_governor": text for n, text in enumerate(governors)}
    check = environment.frequency(write(tmp_path, files))
    assert (check.ok, bool(check.advice)) == (ok, not ok)
    assert value in check.value


@pytest.mark.parametrize(
    ("files", "quota"),
    [
        ({}, None),
        ({"cpu.max": "max 100000"}, None),
        ({"cpu.max": "150000 100000"}, 1.5),
        ({"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"}, None),
        ({"cpu/cpu.cfs_quota_us": "50000", "cpu/cpu.cfs_period_us": "100000"}, 0.5),
        ({"cpu.max": "rubbish"}, None),
    ],
)
def test_cpu_limits(tmp_path: Path, files: dict[str, str], quota: float | None) -> None:
    root = write(tmp_path, files)
    assert environment.cpu_quota(root) == quota
    check = environment.cpu_limit(1, root)
    assert check.ok == (quota is None or quota >= 1.5)
    assert check.ok or "raise" in check.advice


def test_throttling_is_counted(tmp_path: Path) -> None:
    root = write(tmp_path, {"cpu.stat": "usage_usec 5\nnr_periods 9\nnr_throttled 7"})
    assert environment.throttled(root) == 7
    assert environment.throttled(tmp_path / "none") == 0
    assert not environment.throttling(7, 9).ok
    assert environment.throttling(7, 7).ok


def test_more_threads_than_processors_are_refused() -> None:
    cores = len(environment.usable_cores())
    assert environment.threads(cores, {}).ok
    check = environment.threads(cores + 1, {"OMP_NUM_THREADS": "7"})
    assert not check.ok
    assert "OMP_NUM_THREADS=7" in check.value


def test_steal_is_a_share_of_all_processors() -> None:
    cores = len(environment.usable_cores())
    assert environment.steal(1.0, 1.0, 10).ok
    assert not environment.steal(0.0, 0.5 * cores, 10).ok


def test_others_load_is_not_our_own() -> None:
    check = environment.load(0.05)
    assert f"of {len(os.sched_getaffinity(0))} processors" in check.value
