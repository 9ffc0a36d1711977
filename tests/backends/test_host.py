"""What the processor says of itself, on this machine and on others."""

import os
import platform
from pathlib import Path

import psutil
import pytest

from rankwise.backends import host

ARM = """processor\t: 0
BogoMIPS\t: 243.75
Features\t: fp asimd evtstrm aes asimdhp asimddp sve i8mm bf16
CPU implementer\t: 0x41
CPU part\t: 0xd40

processor\t: 1
CPU part\t: 0xfff
"""
INTEL = """processor\t: 0
model name\t: Some Chip @ 2.00GHz
flags\t\t: fpu avx2 avx512f avx512_vnni fma
"""


@pytest.fixture
def cpuinfo(monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    real = Path.read_text

    def fake(path: Path, *args: object, **words: object) -> str:
        if str(path) != "/proc/cpuinfo":
            return real(path, *args, **words)
        if request.param is None:
            raise FileNotFoundError(path)
        return str(request.param)

    monkeypatch.setattr(Path, "read_text", fake)
    monkeypatch.setattr(platform, "machine", lambda: "machine")
    monkeypatch.setattr(platform, "processor", lambda: "")


def test_this_machine() -> None:
    found = host.cpu_hardware()
    assert set(found) == {"chip", "cores", "physical_cores", "memory_gib", "isa"}
    assert all(found.values())
    assert 1 <= int(found["physical_cores"]) <= int(found["cores"]) <= (os.cpu_count() or 1)
    assert int(found["memory_gib"]) == round(psutil.virtual_memory().total / 2**30)
    assert found == host.cpu_hardware()


@pytest.mark.parametrize("cpuinfo", [ARM], indirect=True)
@pytest.mark.usefixtures("cpuinfo")
def test_arm_has_numbers_for_a_name() -> None:
    found = host.cpu_hardware()
    assert found["chip"] == "implementer 0x41 part 0xd40"
    assert found["isa"] == "machine sve i8mm bf16 asimddp asimdhp asimd"


@pytest.mark.parametrize("cpuinfo", [INTEL], indirect=True)
@pytest.mark.usefixtures("cpuinfo")
def test_a_name_and_flags() -> None:
    found = host.cpu_hardware()
    assert found["chip"] == "Some Chip @ 2.00GHz"
    assert found["isa"] == "machine avx512_vnni avx512f avx2 fma"


@pytest.mark.parametrize("cpuinfo", [None], indirect=True)
@pytest.mark.usefixtures("cpuinfo")
def test_without_cpuinfo() -> None:
    found = host.cpu_hardware()
    assert found["chip"] == "machine"
    assert found["isa"] == "machine"


def test_two_threads_of_a_core_are_one_core(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(host, "CPUS", tmp_path)
    for number, (package, core) in enumerate([(0, 0), (0, 1), (0, 0), (1, 0)]):
        topology = tmp_path / f"cpu{number}" / "topology"
        topology.mkdir(parents=True)
        (topology / "physical_package_id").write_text(f"{package}\n")
        (topology / "core_id").write_text(f"{core}\n")
    for usable, cores in (([0, 1, 2, 3], "3"), ([0, 2], "1"), ([0, 3], "2")):
        monkeypatch.setattr(host, "_usable_cpus", lambda usable=usable: usable)
        assert host.cpu_hardware()["physical_cores"] == cores


def test_without_topology(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(host, "CPUS", tmp_path)
    monkeypatch.setattr(psutil, "cpu_count", lambda **_: None)
    found = host.cpu_hardware()
    assert found["physical_cores"] == found["cores"]


@pytest.mark.parametrize("hidden", [None, OSError("no"), NotImplementedError("no")], ids=repr)
def test_run_metadata_where_the_clock_is_hidden(
    hidden: Exception | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def cpu_freq() -> None:
        if hidden:
            raise hidden

    monkeypatch.setattr(psutil, "cpu_freq", cpu_freq)
    found = host.host_run_metadata()
    assert found["cpu_mhz"] == "unknown"
    assert found["pid"] == str(os.getpid())
    assert float(found["load_1m"]) >= 0
    assert float(found["available_gib"]) > 0
