"""Switching on and off, other processes, reports; and that every behaviour has its test."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from fake_cann.settings import Settings

HERE = Path(__file__).parent
BEGIN = "import acl; acl.init(); acl.rt.set_device(0); "


def child(code: str, **more: Any) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-P", "-c", code]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, **more)


def test_all_39_behaviours_have_a_test() -> None:
    text = "".join(path.read_text() for path in HERE.glob("test_*.py"))
    numbers = {int(n) for n in re.findall(r"def test_behaviour_(\d\d)_", text)}
    assert numbers == set(range(1, 40))


def test_the_page_names_every_setting() -> None:
    page = (HERE / "README.md").read_text(encoding="utf-8")
    for name in Settings.__dataclass_fields__:
        assert f"`{name}`" in page, name


@pytest.mark.parametrize("way", ["inherited", "sys.path", "environment()"])
def test_a_child_sees_it(fake_cann: Any, way: str) -> None:
    environment = dict(os.environ)
    if way == "sys.path":
        environment["PYTHONPATH"] = os.pathsep.join(sys.path)
    elif way == "environment()":
        bare = {k: v for k, v in os.environ.items() if k == "HOME"}
        environment = {**bare, **fake_cann.environment()}
    code = BEGIN + "acl.rt.malloc(64, 0); print(acl.get_soc_name())"
    done = child(code, env=environment)
    assert done.stdout == "Ascend910B4\n", done.stderr
    leaks = fake_cann.leaks()
    assert len(leaks) == 3
    assert "device memory: 64 bytes" in leaks[0]
    assert "without a finalize" in leaks[2]
    assert fake_cann.calls("acl.rt.malloc") == 1


def test_a_child_that_is_killed_is_missed(fake_cann: Any) -> None:
    done = child(BEGIN + "import os, signal; os.kill(os.getpid(), signal.SIGKILL)")
    assert done.returncode == -9
    assert len(fake_cann.unfinished()) == 1
    with pytest.raises(AssertionError, match="without a word"):
        fake_cann.assert_clean()


def test_a_child_that_finalized_and_was_killed_is_not(fake_cann: Any) -> None:
    child(BEGIN + "acl.rt.reset_device(0); acl.finalize(); import os; os._exit(9)")
    fake_cann.assert_clean()


@pytest.mark.parametrize("fault", ["crash", "hang"])
def test_a_call_that_kills_or_keeps_the_process(fake_cann: Any, fault: str) -> None:
    fake_cann.configure(faults=f"acl.rt.malloc:1={fault}", hang_s=0.05)
    done = child(BEGIN + "print(acl.rt.malloc(64, 0)[1])")
    assert done.stdout == ("" if fault == "crash" else "0\n")
    assert (done.returncode == 0) == (fault == "hang")
    assert bool(fake_cann.unfinished()) == (fault == "crash")


def test_the_adapters_own_exit_handler_comes_first(fake_cann: Any) -> None:
    """Registered after the import, so called before the fake's report."""
    code = BEGIN + "import atexit; atexit.register(acl.finalize); "
    code += "atexit.register(lambda: acl.rt.reset_device(0))"
    assert child(code).returncode == 0
    fake_cann.assert_clean()


def test_settings_reach_what_runs_already(fake_cann: Any) -> None:
    acl = fake_cann.acl
    acl.init()
    fake_cann.configure(devices=4, trace=1)
    assert acl.rt.get_device_count() == (4, 0)
    fake_cann.configure(devices=None)
    assert acl.rt.get_device_count() == (1, 0)
    trace = fake_cann.reports()[-1]["trace"]
    assert trace == [["acl.rt.get_device_count", [], "(4, 0)"], *trace[1:]]
    with pytest.raises(ValueError, match="no setting"):
        fake_cann.configure(colour="red")
    with pytest.raises(ValueError, match="many"):
        fake_cann.configure(devices="many")


def test_off_puts_everything_back(tmp_path: Path) -> None:
    from fake_cann.switch import FakeCann

    before = dict(os.environ), list(sys.path)
    with FakeCann(tmp_path / "fake").on() as fake:
        assert fake.acl.init() == 0
        fake.configure(soc="Ascend310P3")
    assert (dict(os.environ), list(sys.path)) == before
    assert "acl" not in sys.modules
    fake.off()


def test_each_test_has_a_fresh_module(fake_cann: Any) -> None:
    assert fake_cann.acl.init() == 0, "another test's init would give 100002"


@pytest.mark.parametrize(
    ("version", "file", "text"),
    [
        ("8.0.0", "version.cfg", "runtime_running_version=[7.6.0.1.220:8.0.0]"),
        ("8.5.0", "*/ascend_toolkit_install.info", "version=8.5.0"),
    ],
)
def test_where_the_version_is_written(fake_cann: Any, version: str, file: str, text: str) -> None:
    fake_cann.configure(version=version)
    (found,) = fake_cann.home.glob(file)
    assert text in found.read_text()
    assert f"Version={version}" in (fake_cann.home / "opp" / "version.info").read_text()
    assert os.environ["ASCEND_TOOLKIT_HOME"] == str(fake_cann.home)


def test_by_hand(tmp_path: Path) -> None:
    switch = HERE / "lib" / "fake_cann" / "switch.py"
    done = subprocess.run(
        [sys.executable, "-P", str(switch), str(tmp_path / "by_hand")],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    script = f'{done.stdout.strip()}; atc --help && {sys.executable} -P -c "import acl"'
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("ASCEND", "FAKE"))}
    sourced = subprocess.run(["bash", "-c", script], env=clean, capture_output=True, text=True)
    assert sourced.returncode == 0, sourced.stderr
    assert "ATC run success" in sourced.stdout, sourced.stderr
