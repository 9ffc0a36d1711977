"""What all tests share: no settings from outside, no file left in the checkout, no timing."""

from __future__ import annotations

import functools
import gc
import importlib
import importlib.util
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NoReturn

import pytest
from hypothesis import settings

# Deadlines are timing assertions, and those fail on busy machines. CI repeats the same
# examples, so that a red build can be reproduced; elsewhere every run tries new ones.
settings.register_profile("local", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "local")

ROOT = Path(__file__).resolve().parents[1]


class _TheRootHoldsNoTests:
    """The root's __init__.py makes pytest take the checkout for a package of tests, and import
    it under the checkout's name. A registered plugin, because a conftest.py is not asked about
    the folders above it."""

    @pytest.hookimpl(tryfirst=True)
    def pytest_collect_directory(
        self, path: Path, parent: pytest.Collector
    ) -> pytest.Collector | None:
        return pytest.Dir.from_parent(parent, path=path) if path == ROOT else None


def pytest_configure(config: pytest.Config) -> None:
    config.pluginmanager.register(_TheRootHoldsNoTests())
    # Else whoever measures on this machine would keep the tests' jobs waiting, and they him.
    lock = Path(tempfile.gettempdir()) / f"rankwise-tests-{os.getpid()}.lock"
    os.environ["RANKWISE_HOST_LOCK"] = str(lock)


def pytest_unconfigure() -> None:
    Path(os.environ["RANKWISE_HOST_LOCK"]).unlink(missing_ok=True)


def need(name: str, reason: str) -> NoReturn:
    """Skip a test that lacks something of this machine; fail instead where RANKWISE_REQUIRE,
    a list with commas, names it: CI must not pass for want of a database or a browser."""
    required = os.environ.get("RANKWISE_REQUIRE", "").split(",")
    if name in (word.strip() for word in required):
        pytest.fail(f"RANKWISE_REQUIRE asks for {name}, but: {reason}", pytrace=False)
    pytest.skip(reason)


@pytest.fixture(scope="session", name="need")
def _need() -> Callable[[str, str], NoReturn]:
    """`need`, for tests and fixtures: nobody can import a conftest.py."""
    return need


@pytest.fixture(autouse=True)
def _own_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The default store is a file in the working directory: let it be the test's own."""
    monkeypatch.delenv("RANKWISE_DB", raising=False)
    monkeypatch.chdir(tmp_path)


PROCESSES = (
    *("fleet", "network_timing", "profiler"),
    *(f"service/test_{name}.py" for name in ("jobs", "killed", "story", "uploads")),
)
"""Where processes of every kind are what is tested: `make coverage` measures them there. Elsewhere
they do what is measured already, and would take a third longer to do it."""


@pytest.fixture(autouse=True)
def _processes_are_measured_where_they_are_tested(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not request.path.relative_to(ROOT / "tests").as_posix().startswith(PROCESSES):
        monkeypatch.delenv("COVERAGE_PROCESS_CONFIG", raising=False)


@pytest.fixture(autouse=True)
def _operators_are_read_once() -> None:
    """For each file that it writes, torch's exporter reads the source of its five hundred operators
    anew: two thirds of the time that a small network takes."""
    exporter = sys.modules.get("torch.onnx._internal.exporter._registration")
    if exporter and not isinstance(vars(exporter.ONNXRegistry)["from_torchlib"], staticmethod):
        exporter.ONNXRegistry.from_torchlib = staticmethod(
            functools.cache(exporter.ONNXRegistry.from_torchlib)
        )


@pytest.fixture
def fake_cann(tmp_path: Path) -> Iterator[Any]:
    """A strict `acl` and `atc`, switched on while the test runs: tests/fake_cann/README.md."""
    lib = str(Path(__file__).parent / "fake_cann" / "lib")
    sys.path.insert(0, lib)
    try:
        switch = importlib.import_module("fake_cann.switch")
    finally:
        sys.path.remove(lib)
    with switch.FakeCann(tmp_path / "fake_cann").on() as fake:
        yield fake


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for marker, missing in (("cuda", _no_cuda), ("ascend", _no_ascend)):
        marked = [item for item in items if item.get_closest_marker(marker)]
        # asked only if some test needs to know: loading torch takes seconds
        if marked and (reason := missing()):
            for item in marked:
                item.add_marker(pytest.mark.skip(reason=reason))
    # Processes share files out: the last one should be short.
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


def pytest_collection_finish() -> None:
    """All that was loaded so far stays: Python's garbage collector need not look at it again, half
    a second each time, most of a test that sees whether something was let go."""
    gc.collect()
    gc.freeze()


def _no_cuda() -> str:
    import torch

    return "" if torch.cuda.is_available() else "no NVIDIA GPU here"


def _no_ascend() -> str:
    return "" if importlib.util.find_spec("acl") else "no Ascend runtime (module acl) here"


def _small_network() -> Any:
    """The module beside this file; it loads torch, so only tests that need it load it."""
    path = Path(__file__).with_name("small_network.py")
    spec = importlib.util.spec_from_file_location("rankwise_small_network", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def network_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    small = _small_network()
    target = tmp_path_factory.mktemp("network") / "small.onnx"
    return small.write_onnx(small.small_network(), target)


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _small_network().write_pictures(tmp_path_factory.mktemp("pictures"))


@pytest.fixture
def rankwise(tmp_path: Path) -> Callable[..., Any]:
    """The command line, with a store of its own."""
    from typer.testing import CliRunner

    from rankwise.cli import app

    def call(*words: object) -> Any:
        runner = CliRunner(env={"RANKWISE_DB": f"sqlite:///{tmp_path}/store.db"})
        return runner.invoke(app, [str(word) for word in words])

    return call
