"""What is shipped: every package and its data, nothing else, and it runs away from the clone."""

from __future__ import annotations

import email
import os
import re
import shutil
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest
from packaging.specifiers import SpecifierSet

ROOT = Path(__file__).resolve().parents[1]
NOT_SHIPPED = {"tests", "docs", "benchmarks", "examples", "build", "dist"}
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PACKAGES: list[str] = PYPROJECT["tool"]["setuptools"]["packages"]


def _folder(package: str) -> Path:
    return ROOT.joinpath(*package.split(".")[1:])


def _folders_with_python() -> set[Path]:
    folders = set()
    for path in ROOT.rglob("*.py"):
        parts = path.relative_to(ROOT).parts
        if parts[0] in NOT_SHIPPED or any(part.startswith(".") for part in parts):
            continue
        if any((parent / "pyvenv.cfg").exists() for parent in path.parents):
            continue
        folders.add(path.parent)
    return folders


def test_package_list_equals_the_folders() -> None:
    on_disk = {
        ".".join(("rankwise", *folder.relative_to(ROOT).parts))
        for folder in _folders_with_python()
        if (folder / "__init__.py").exists()
    }
    listed = set(PACKAGES)
    assert listed == on_disk, (
        f"[tool.setuptools] packages in pyproject.toml lacks {sorted(on_disk - listed)} "
        f"and names missing {sorted(listed - on_disk)}"
    )
    assert sorted(listed) == PACKAGES, "keep the list sorted, each package once"


def test_every_folder_with_modules_is_a_package() -> None:
    bare = [str(f) for f in _folders_with_python() if not (f / "__init__.py").exists()]
    assert not bare, f"modules without an __init__.py beside them are never shipped: {bare}"


def test_version_is_said_once() -> None:
    import rankwise

    assert rankwise.__version__ == PYPROJECT["project"]["version"]


def test_every_dependency_is_pinned() -> None:
    project = PYPROJECT["project"]
    extras = project["optional-dependencies"].values()
    wanted = [*project["dependencies"], *(name for extra in extras for name in extra)]
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = dict(line.lower().split("==") for line in lines if line and not line.startswith("#"))
    missing = [name for name in wanted if re.split("[>[]", name)[0].lower() not in pins]
    assert not missing, f"constraints.txt has no pin for {missing}"
    assert not [v for v in pins.values() if "+" in v], "a local version fits one index only"


def test_extras_that_are_named_are_there() -> None:
    """In documents and in the sentences of errors."""
    texts = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]
    texts += [path for package in PACKAGES for path in _folder(package).glob("*.py")]
    found = re.findall(r"rankwise\[([\w,]+)\]", "".join(p.read_text("utf-8") for p in texts))
    named = {extra for extras in found for extra in extras.split(",")}
    assert named
    assert named <= PYPROJECT["project"]["optional-dependencies"].keys()


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Source archive and wheel, this one made from that one, as a release is. Built from a copy,
    so that neither stale build output gets in nor new one is left."""
    tmp = tmp_path_factory.mktemp("built")
    source = tmp / "a-b"
    ignored = shutil.ignore_patterns(".*", "build", "dist", "venv", "*.egg-info", "__pycache__")
    shutil.copytree(ROOT, source, ignore=ignored)
    done = subprocess.run(
        [sys.executable, "-P", "-m", "build", "--no-isolation", "--outdir", tmp / "dist", source],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return tmp / "dist"


@pytest.fixture(scope="module")
def wheel(built: Path) -> Path:
    (made,) = built.glob("*.whl")
    return made


@pytest.mark.slow
def test_source_archive_holds_the_packages_and_what_builders_read(built: Path) -> None:
    (made,) = built.glob("*.tar.gz")
    with tarfile.open(made) as archive:
        files = {name.partition("/")[2] for name in archive.getnames()}
    modules = {
        path.relative_to(ROOT).as_posix()
        for package in PACKAGES
        for path in _folder(package).glob("*.py")
    }
    assert modules <= files, f"not in the source archive: {sorted(modules - files)}"
    read = {"LICENSE", "README.md", "CHANGELOG.md", "constraints.txt", "pyproject.toml", "py.typed"}
    assert read <= files
    strangers = {name for name in files if name.split("/")[0] in NOT_SHIPPED}
    assert not strangers, f"prune it in MANIFEST.in: {sorted(strangers)}"


@pytest.mark.slow
def test_wheel_says_who_may_install_it(wheel: Path) -> None:
    """Pythons, extras and licence, from the metadata that pip reads."""
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [n for n in archive.namelist() if n.endswith(".dist-info/METADATA")]
        said = email.message_from_bytes(archive.read(name))
    pythons = SpecifierSet(said["Requires-Python"])
    assert [v for v in ("3.10", "3.11", "3.12", "3.13", "3.14") if v in pythons] == [
        v.split(" :: ")[-1] for v in said.get_all("Classifier") or () if ":: 3." in v
    ]
    assert said["License-Expression"] == "Apache-2.0"
    purposes = {"cuda", "openvino", "parquet", "postgres", "service"}
    assert purposes <= set(said.get_all("Provides-Extra") or ())


@pytest.mark.slow
def test_wheel_holds_every_module_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    shipped = {name for name in names if ".dist-info/" not in name}
    modules = {
        Path("rankwise", path.relative_to(ROOT)).as_posix()
        for package in PACKAGES
        for path in _folder(package).glob("*.py")
    }
    assert modules <= shipped, f"not in the wheel: {sorted(modules - shipped)}"
    data = {
        Path("rankwise", path.relative_to(ROOT)).as_posix()
        for package in PACKAGES[1:]  # the root's other files are the repository's, not ours
        for path in _folder(package).rglob("*")
        if path.is_file() and path.suffix not in (".py", ".pyc") and path.name[0] != "."
    }
    assert data <= shipped, f"add to [tool.setuptools.package-data]: {sorted(data - shipped)}"
    extra = {name for name in shipped - modules if name.endswith(".py")}
    assert not extra, f"in the wheel, but in no package: {sorted(extra)}"
    assert "rankwise/py.typed" in shipped
    assert any(name.startswith("rankwise/db/migrations/versions/") for name in shipped)
    assert any(name.endswith(".dist-info/licenses/LICENSE") for name in names)
    strangers = {name for name in shipped if name.split("/")[1] in NOT_SHIPPED}
    assert not strangers, f"does not belong into a wheel: {sorted(strangers)}"


@pytest.mark.slow
def test_wheel_runs_outside_the_clone(wheel: Path, tmp_path: Path) -> None:
    site = tmp_path / "site"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    code = "import sys, rankwise; print(rankwise.__file__, file=sys.stderr)"
    run = f"{code}; from rankwise.cli import main; sys.argv = ['rankwise', '--help']; main()"
    done = subprocess.run(
        [sys.executable, "-P", "-c", run],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(site)},
    )
    assert done.returncode == 0, done.stderr
    assert "Usage: rankwise" in done.stdout
    assert Path(done.stderr.split()[0]).is_relative_to(site), f"ran {done.stderr.split()[0]}"


@pytest.mark.slow
def test_wheel_names_its_entry_points(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [n for n in archive.namelist() if n.endswith("entry_points.txt")]
        text = archive.read(name).decode()
    assert "rankwise = rankwise.cli:main" in text
    for backend, target in PYPROJECT["project"]["entry-points"]["rankwise.backends"].items():
        assert f"{backend} = {target}" in text
        module = target.split(":")[0].split(".")[1:]
        assert ROOT.joinpath(*module).with_suffix(".py").exists(), f"{backend}: no such module"
