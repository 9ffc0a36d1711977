"""What all tests share: no settings from outside, no file left in the checkout, no timing."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable
from pathlib import Path

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


@pytest.fixture(autouse=True)
def _own_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The default store is a file in the working directory: let it be the test's own."""
    monkeypatch.delenv("RANKWISE_DB", raising=False)
    monkeypatch.chdir(tmp_path)


def need(name: str, reason: str) -> None:
    """Skip a test for a reason; fail it where `RANKWISE_REQUIRE` (names with commas) says that
    what it needs has to be here."""
    if name in os.environ.get("RANKWISE_REQUIRE", "").split(","):
        pytest.fail(f"{name} is required here: {reason}")
    pytest.skip(reason)


@pytest.fixture(scope="session", name="need")
def _need() -> Callable[[str, str], None]:
    return need


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for marker, missing in (("cuda", _no_cuda), ("ascend", _no_ascend)):
        marked = [item for item in items if item.get_closest_marker(marker)]
        # asked only if some test needs to know: loading torch takes seconds
        if marked and (reason := missing()):
            for item in marked:
                item.add_marker(pytest.mark.skip(reason=reason))


def _no_cuda() -> str:
    import torch

    return "" if torch.cuda.is_available() else "no NVIDIA GPU here"


def _no_ascend() -> str:
    return "" if importlib.util.find_spec("acl") else "no Ascend runtime (module acl) here"
