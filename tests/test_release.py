"""What a release is made with: dependencies are known, workflows call targets that are there."""

from __future__ import annotations

import importlib.util
import re
import tomllib
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[1]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))


@pytest.fixture(scope="module")
def dependencies() -> ModuleType:
    spec = importlib.util.spec_from_file_location("dependencies", ROOT / ".ci/dependencies.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_what_users_install_is_followed(
    dependencies: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Through what is needed, its extras, and no further than users go."""
    needs = {
        "mine": [
            "One[fast]>=1",
            'late; python_version < "3"',
            'extra-one; extra == "service"',
            'pytest; extra == "dev"',
        ],
        "one": ['speed; extra == "fast"', 'unasked; extra == "slow"', "mine"],
        "speed": [],
        "extra-one": ["speed"],
    }

    class Installed:
        def __init__(self, name: str) -> None:
            self.requires = needs[name.lower()]
            self.metadata = self

        def get_all(self, _: str) -> list[str]:
            return ["service", "dev"]

    monkeypatch.setattr(dependencies, "distribution", Installed)
    assert dependencies.names("mine") == ["extra-one", "one", "speed"]


def test_an_sbom_is_cut_to_what_is_wanted(dependencies: ModuleType) -> None:
    def component(name: str) -> dict[str, str]:
        return {"name": name, "bom-ref": f"{name}==1"}

    whole = {
        "metadata": {"component": component("rankwise")},
        "components": [component("Torch"), component("pytest"), component("numpy")],
        "dependencies": [
            {"ref": "rankwise==1", "dependsOn": ["Torch==1", "pytest==1"]},
            {"ref": "Torch==1", "dependsOn": ["numpy==1"]},
            {"ref": "pytest==1"},
        ],
    }
    part = dependencies.part_of(whole, ["numpy", "torch"])
    assert [one["name"] for one in part["components"]] == ["Torch", "numpy"]
    assert part["dependencies"] == [
        {"ref": "rankwise==1", "dependsOn": ["Torch==1"]},
        {"ref": "Torch==1", "dependsOn": ["numpy==1"]},
    ]


def steps(workflow: Any) -> list[Any]:
    return [step for job in workflow["jobs"].values() for step in job["steps"]]


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_workflows_call_the_makefile_alone(path: Path) -> None:
    """Whatever they run can be typed by anybody; actions are named with their version."""
    workflow = yaml.safe_load(path.read_text(encoding="utf-8"))
    # YAML 1.1 takes the word `on` for true.
    assert {"name", "permissions", "jobs", True} <= set(workflow)
    targets = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text("utf-8"), re.MULTILINE)
    commands = [step["run"] for step in steps(workflow) if "run" in step]
    assert commands
    assert {command.removeprefix("make ") for command in commands} <= set(targets)
    used = [step["uses"] for step in steps(workflow) if "uses" in step]
    assert all(re.fullmatch(r"actions/[\w-]+@v\d+", one) for one in used)
    assert all("timeout-minutes" in job for job in workflow["jobs"].values())


def test_there_are_workflows() -> None:
    assert {path.name for path in WORKFLOWS} == {"check.yml", "release.yml"}


def test_the_image_is_made_of_what_is_there() -> None:
    """Files that it copies, and extras that it installs; nothing is built here."""
    text = (ROOT / "Containerfile").read_text(encoding="utf-8")
    copied = re.findall(r"^COPY (?!--from)(\S+)", text, re.MULTILINE)
    assert copied
    assert all((ROOT / name).exists() for name in copied)
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    [extras] = re.findall(r"\[([\w,]+)\]", text)
    assert set(extras.split(",")) <= set(project["optional-dependencies"])
    assert (ROOT / ".containerignore").exists()
