"""`plan --device ...` from the command line: one plan for all, the devices' own beside it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import Result

Command = Callable[..., Result]
DEVICES = ("fake:step=16,gmacs=20", "fake:step=16,launch_us=1,gmacs=5")


@pytest.fixture
def profiled(rankwise: Command, network_file: Path) -> Path:
    for backend in DEVICES:
        assert rankwise("profile", network_file, "--backend", backend).exit_code == 0
    return network_file


def test_one_plan_for_all_and_one_for_each(
    rankwise: Command, profiled: Path, tmp_path: Path
) -> None:
    words = ("--device", "fake", "--backend", DEVICES[1], "--max-error", "0.9", "--json")
    result = rankwise("plan", profiled, *words, "-o", tmp_path / "all.json")
    assert result.exit_code == 0, result.output
    plan = json.loads(result.stdout)
    assert plan["on_devices"] == json.loads((tmp_path / "all.json").read_text())["on_devices"]
    assert [one["timed"] for one in plan["on_devices"]] == [False, True]
    assert [one["backend"] for one in plan["on_devices"]] == ["fake", DEVICES[1]]
    for one in plan["on_devices"]:
        key = one["device"]["hardware_key"][:6]
        own = json.loads((tmp_path / f"all.fake-{key}.json").read_text())
        assert own["predicted"]["speedup"] == one["own_speedup"]
        assert own["on_devices"] == []
    least = min(plan["on_devices"], key=lambda one: float(one["predicted"]["speedup"]))
    assert plan["predicted"]["speedup"] == least["predicted"]["speedup"]
    shown = rankwise("plan", profiled, *words[:-1], "-o", tmp_path / "all.json").stdout
    assert "not confirmed by a run: this device is not in this machine" in " ".join(shown.split())


def test_a_device_that_nobody_measured_is_named(
    rankwise: Command, profiled: Path, tmp_path: Path
) -> None:
    words = ("--device", "torch-cpu", "--max-error", "0.9", "-o", tmp_path / "plan.json")
    result = rankwise("plan", profiled, *words)
    assert result.exit_code == 2
    assert "nothing was measured of" in result.output
    assert "--device torch-cpu" in result.output
    assert not (tmp_path / "plan.json").exists()


@pytest.mark.parametrize(
    ("dtype", "said"),
    [("int8", "is not made in int8: leave --dtype out"), ("float16", "inference and float16")],
)
def test_a_dtype_is_taken_or_refused(
    rankwise: Command, profiled: Path, tmp_path: Path, dtype: str, said: str
) -> None:
    words = ("--device", "fake", "--max-error", "0.9", "--dtype", dtype)
    result = rankwise("plan", profiled, *words, "-o", tmp_path / "plan.json")
    assert result.exit_code == 2
    assert said in " ".join(result.output.split())
