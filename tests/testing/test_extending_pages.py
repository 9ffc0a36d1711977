"""docs/extending-*.md, followed word for word: a backend and a kind that another package brings."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

DOCS = Path(__file__).resolve().parents[2] / "docs"

PLAN_AND_APPLY = """
import json
import torch
import rankwise as rw

torch.manual_seed(0)
net = torch.nn.Sequential(
    torch.nn.Conv2d(3, 32, 1), torch.nn.Conv2d(32, 32, 9, 1, 4, groups=32), torch.nn.ReLU()
).eval()
example = torch.randn(1, 3, 64, 64)
rw.profile(net, example, backend="fake:step=16")
plan = rw.plan(net, example, backend="fake:step=16", max_error=0.9, trials=5)
smaller = rw.apply(plan, net, example)
chosen = next(one for one in plan.layers if one.name == "1").decomposition
lost = smaller(example) - net(example)
print(json.dumps({"kind": chosen.kind, "lost": float(lost.detach().abs().max())}))
"""


@dataclass(frozen=True)
class Package:
    """What a page has written: a folder with its files, and where it is installed."""

    commands: list[list[str]]
    folder: Path
    site: Path

    def run(self, *words: str) -> str:
        """What the command says, with the package in reach."""
        done = subprocess.run(
            [sys.executable, "-P", *words],
            cwd=self.folder,
            env={**os.environ, "PYTHONPATH": str(self.site)},
            capture_output=True,
            text=True,
            check=False,
            timeout=200,
        )
        assert done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"
        return done.stdout

    def follow(self, *profile_options: str) -> dict[str, str]:
        """What each of the page's commands says, by its first two words."""
        said = {}
        for words in self.commands:
            program, *rest = words
            options = profile_options if rest[0] == "profile" else ()
            match program:
                case "pip":  # beside, not into, the environment that runs the tests
                    rest = ["-q", rest[0], "--target", str(self.site), *rest[1:]]
                case "pytest":
                    rest = ["-p", "no:cacheprovider", *rest]
            said[" ".join(words[:2])] = self.run("-m", program, *rest, *options)
        return said


def package_of(page: str, folder: Path) -> Package:
    """The page's files written, each where it is named in front of its block."""
    text = (DOCS / page).read_text(encoding="utf-8")
    files = re.findall(r"`([\w.]+\.(?:toml|py))`:\n\n```\w+\n(.*?)```", text, re.DOTALL)
    assert len(files) == len(re.findall(r"```(?:toml|python)\n", text)) == 3
    written = folder / "package"
    written.mkdir()
    for name, content in files:
        (written / name).write_text(content, encoding="utf-8")
    blocks = re.findall(r"```sh\n(.*?)```", text, re.DOTALL)
    commands = [line.split() for block in blocks for line in block.splitlines()]
    write_network(written / "network.onnx")
    return Package(commands, written, folder / "site")


def write_network(path: Path) -> None:
    """A depthwise convolution and a pointwise one."""
    import onnx

    from rankwise.backends.onnx_dtypes import chain_in
    from rankwise.ops.chain import Chain
    from rankwise.records import LayerSpec

    depthwise = LayerSpec("conv2d", 32, 32, (32, 24, 24), (9, 9), groups=32)
    onnx.save(
        chain_in(Chain((depthwise, LayerSpec("conv2d", 32, 16, (32, 16, 16)))), "float32", 1), path
    )


def require_all_passed(said: str) -> None:
    assert re.search(r"\d+ passed", said)
    assert "failed" not in said


@pytest.mark.slow
def test_a_backend_in_five_steps(tmp_path: Path) -> None:
    said = package_of("extending-backends.md", tmp_path).follow(
        "--kinds", "svd", "--interval", "0.5"
    )
    require_all_passed(said["pytest -q"])
    assert re.search(r"^numpy +PASS", said["rankwise devices"], re.MULTILINE)
    assert re.search(r"^link.*svd ", said["rankwise table"], re.MULTILINE)
    assert "device: numpy " in said["rankwise table"]


@pytest.mark.slow
def test_a_kind_in_five_steps(tmp_path: Path) -> None:
    package = package_of("extending-kinds.md", tmp_path)
    said = package.follow()
    require_all_passed(said["pytest -q"])
    assert "depthwise_svd" in said["rankwise layers"]
    assert re.search(r"depthwise_svd \d+", said["rankwise table"])
    assert "device: fake " in said["rankwise table"]
    found = json.loads(package.run("-c", PLAN_AND_APPLY).splitlines()[-1])
    assert found["kind"] == "depthwise_svd"
    assert found["lost"] > 1e-4, "one term a channel is not the whole kernel"
