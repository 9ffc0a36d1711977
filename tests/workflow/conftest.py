"""What the stories share: a small network that was profiled once, and a copy for each test."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

FAKE = "fake:step=16"


@pytest.fixture(scope="session")
def rankwise_in() -> Callable[..., Result]:
    """The command line with the store of a folder: `rankwise_in(folder, *words)`."""
    from rankwise.cli import app

    def call(folder: Path, *words: object) -> Result:
        runner = CliRunner(env={"RANKWISE_DB": f"sqlite:///{folder}/store.db"})
        result = runner.invoke(app, [str(word) for word in words])
        assert result.exit_code == 0, result.output
        return result

    return call


@pytest.fixture(scope="session")
def profiled_folder(
    rankwise_in: Callable[..., Result],
    network_file: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    folder = tmp_path_factory.mktemp("profiled")
    result = rankwise_in(folder, "profile", network_file, "--backend", FAKE, "--json")
    (folder / "profile.json").write_text(result.stdout)
    return folder


@pytest.fixture
def profiled(profiled_folder: Path, tmp_path: Path) -> dict[str, Any]:
    """The document of the profile whose store is now the test's own."""
    shutil.copytree(profiled_folder, tmp_path, dirs_exist_ok=True)
    return dict(json.loads((tmp_path / "profile.json").read_text()))


@pytest.fixture(scope="session")
def planned_folder(
    rankwise_in: Callable[..., Result],
    profiled_folder: Path,
    network_file: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Path:
    """That folder with a plan in it, `plan.json`."""
    folder = tmp_path_factory.mktemp("planned")
    shutil.copytree(profiled_folder, folder, dirs_exist_ok=True)
    words = ["plan", network_file, "--backend", FAKE, "--max-error", 0.4, "--no-refine"]
    rankwise_in(folder, *words, "-o", folder / "plan.json")
    return folder
