"""docs/backends.md, followed step by step: a backend that another package brings."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SAMPLE = ROOT / "tests" / "sample_backend"
PAGE = (ROOT / "docs" / "backends.md").read_text(encoding="utf-8")
STEPS = PAGE[PAGE.index("## Add a device in five steps") :]
FILES = dict(
    zip(
        re.findall(r"`(\w+\.(?:toml|py))`", STEPS.split("**4.")[0])[:3],
        re.findall(r"```(?:toml|python)\n(.*?)```", STEPS, re.DOTALL),
        strict=True,
    )
)
COMMANDS = [
    line.split()
    for block in re.findall(r"```sh\n(.*?)```", STEPS, re.DOTALL)
    for line in block.splitlines()
]


@pytest.mark.parametrize("name", FILES)
def test_the_page_shows_the_samples_files(name: str) -> None:
    assert FILES[name] == (SAMPLE / name).read_text(encoding="utf-8")


def test_the_sample_has_no_other_files() -> None:
    assert {path.name for path in SAMPLE.iterdir() if path.is_file()} == set(FILES)


@pytest.mark.slow
def test_the_steps_work(tmp_path: Path, small_network: Path) -> None:
    """Installed beside, not into, the environment that runs the tests."""
    package, site = tmp_path / "package", tmp_path / "site"
    package.mkdir()
    for name, text in FILES.items():
        (package / name).write_text(text, encoding="utf-8")
    shutil.copy(small_network, package / "network.onnx")
    said = {}
    for words in COMMANDS:
        done = subprocess.run(
            _command(words, site),
            cwd=package,
            env={**os.environ, "PYTHONPATH": str(site)},
            capture_output=True,
            text=True,
            check=False,
            timeout=200,
        )
        assert done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"
        said[" ".join(words[:2])] = done.stdout
    assert re.search(r"^numpy +PASS", said["rankwise devices"], re.MULTILINE)
    assert re.search(r"\d+ passed", said["pytest -q"]) and "failed" not in said["pytest -q"]
    assert re.search(r"svd.* numpy ", said["rankwise table"])


def _command(words: list[str], site: Path) -> list[str]:
    program, *rest = words
    python = [sys.executable, "-P", "-m"]
    match program:
        case "pip":
            return [*python, "pip", "-q", rest[0], "--target", str(site), *rest[1:]]
        case "pytest":
            return [*python, "pytest", "-p", "no:cacheprovider", *rest]
    short = ["--kinds", "svd", "--interval", "0.5"] if rest[0] == "profile" else []
    return [*python, "rankwise", *rest, *short]


@pytest.fixture
def small_network(tmp_path: Path) -> Path:
    import onnx

    from rankwise.backends.onnx_dtypes import chain_in
    from rankwise.ops.chain import Chain
    from rankwise.records import LayerSpec

    path = tmp_path / "small.onnx"
    chain = Chain((LayerSpec("linear", 64, 64, (64,)), LayerSpec("linear", 64, 10, (64,))))
    onnx.save(chain_in(chain, "float32", 1), path)
    return path
