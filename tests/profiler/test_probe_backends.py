"""`rankwise devices`: what works is found, what crashes or hangs spoils its own line only."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from rankwise import documents
from rankwise.backends.registry import BUILT_IN, OF_FAMILIES
from rankwise.cli import app
from rankwise.profiler import probe_backends as module
from rankwise.profiler.probe_backends import ProbedBackend, probe_backends, probe_family, try_out

BAD = """
import os, time
from rankwise.backends.fake import FakeBackend

class Bad(FakeBackend):
    name = "bad"
    def probe(self):
        return self.misbehave() or ""

class Crashing(Bad):
    def misbehave(self): os.abort()

class Hanging(Bad):
    def misbehave(self): time.sleep(600)

class Raising(Bad):
    def misbehave(self): raise RuntimeError("a driver's\\nown words")

class Wrong(FakeBackend):
    name = "wrong"
    def prepare(self, workload, policy):
        runner = super().prepare(workload, policy)
        runner.run = lambda loops: {"host": 0.0}
        return runner

print("rubbish on standard output")
"""


@pytest.fixture
def bad_ones(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An installed distribution whose backends misbehave."""
    info = tmp_path / "bad-1.0.dist-info"
    info.mkdir()
    (tmp_path / "bad_backends.py").write_text(BAD, encoding="utf-8")
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: bad\nVersion: 1.0\n")
    names = ("Crashing", "Hanging", "Raising", "Wrong", "Missing")
    lines = "\n".join(f"{name.lower()} = bad_backends:{name}" for name in names)
    (info / "entry_points.txt").write_text(f"[rankwise.backends]\n{lines}\n")
    monkeypatch.syspath_prepend(str(tmp_path))


def test_everything_that_is_known_is_called() -> None:
    found = {one.name: one for one in probe_backends()}
    assert {*BUILT_IN, *OF_FAMILIES} <= set(found)
    for name in ("fake", "torch-cpu", "onnxruntime-cpu"):
        assert found[name].reason == ""
        assert found[name].fingerprint
    assert all(one.reason or one.fingerprint for one in found.values())


@pytest.mark.usefixtures("bad_ones")
def test_bad_ones_have_their_reason_and_the_others_theirs(monkeypatch: pytest.MonkeyPatch) -> None:
    words = {
        "crashing": "SIGABRT",
        "hanging": "no answer within 4 s",
        "raising": "own words",
        "wrong": "its clock stood still",
        "missing": "cannot be imported",
    }
    monkeypatch.setattr(module, "backend_names", lambda: sorted([*words, "fake"]))
    found = {one.name: one for one in probe_backends(timeout_s=4.0)}
    assert found["fake"].reason == ""
    for name, word in words.items():
        assert word in found[name].reason, name
        assert found[name].fingerprint is None, name
        assert "\n" not in found[name].reason


def test_after_a_crash_a_family_goes_on() -> None:
    """Those that come after it are asked in another worker."""
    names = ["fake:crash_at=1", "fake", "fake:hang_at=1", "fake:step=8"]
    found = list(probe_family("fake", names, 4.0))
    assert [bool(one.reason) for one in found] == [True, False, True, False]
    assert "SIGABRT" in found[0].reason
    assert "no answer" in found[2].reason


def test_names_that_only_the_runtime_knows(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    class Worker:
        def __init__(self, timeout_s: float) -> None: ...

        def ask(self, request: dict[str, str]) -> dict[str, object]:
            asked.append(request.get("backend"))
            known = {"names": ["openvino-cpu", "openvino-gpu.1"]}
            return known if request["op"] == "names" else {"reason": "none here"}

        def stop(self, gently: bool) -> None: ...

    monkeypatch.setattr(module, "_Worker", Worker)
    found = list(probe_family("openvino", ["openvino-cpu"], 1.0))
    assert found == [ProbedBackend(n, "none here") for n in ("openvino-cpu", "openvino-gpu.1")]
    assert asked == [None, "openvino-cpu", "openvino-gpu.1"]


def test_the_command_prints_a_document(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        module, "probe_backends", lambda: [try_out("fake"), ProbedBackend("x", "no driver")]
    )
    result = CliRunner().invoke(app, ["devices", "--json"])
    document = documents.Devices.model_validate(json.loads(result.stdout))
    assert [(d.backend, d.available) for d in document.devices] == [("fake", True), ("x", False)]
    assert "no driver" in CliRunner().invoke(app, ["devices"]).stdout


def test_it_loads_nothing_here() -> None:
    """Runtimes are loaded in the workers, not in the process that asks."""
    import subprocess

    code = "import sys, rankwise.profiler.probe_backends; print('torch' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "False"
