"""Plans and stores that name networks by the hash of before still do their work."""

from __future__ import annotations

import json
import sqlite3
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import Result

from rankwise.models.source import load_network

Command = Callable[..., Result]
FAKE = ("--backend", "fake:step=16")

NET = """
import numpy as np
import torch
from small_network import small_network

class Net(torch.nn.Module):
    input_shape = (1, 3, 16, 16)

    def __init__(self):
        super().__init__()
        self.net = small_network()
        self.scale = {scale}

    def forward(self, x):
        return self.net(x) * self.scale
"""
SOURCE = "earlier_net:Net"


@pytest.fixture
def write_net(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    def write(scale: str) -> None:
        monkeypatch.delitem(sys.modules, "earlier_net", raising=False)
        monkeypatch.syspath_prepend(str(Path(__file__).parents[1]))
        (tmp_path / "earlier_net.py").write_text(NET.format(scale=scale))

    return write


def rename_in_store(folder: Path, before: str, after: str) -> None:
    with sqlite3.connect(folder / "store.db") as connection:
        done = connection.execute(
            "update networks set sha256 = ? where sha256 = ?", (after, before)
        )
        assert done.rowcount == 1


def test_a_store_and_a_plan_of_before(
    rankwise: Command, write_net: Callable[[str], None], pictures: Path, tmp_path: Path
) -> None:
    """The plan's factors come from the cache, which has them under the earlier hash."""
    write_net("1.5")
    network = load_network(SOURCE)
    now, earlier = network.sha256, network.earlier_sha256
    assert now != earlier
    assert rankwise("profile", SOURCE, *FAKE).exit_code == 0
    rename_in_store(tmp_path, now, earlier)
    words = ("--calibration", pictures, "--preprocess", "unit", "--max-error", "0.3")
    made = rankwise("plan", SOURCE, *FAKE, *words, "-o", "plan.json")
    assert made.exit_code == 0, made.output
    plan = json.loads(Path("plan.json").read_text())
    assert plan["model"]["sha256"] == now
    assert any(layer["factors"] == "data" for layer in plan["layers"])

    plan["model"]["sha256"] = earlier
    Path("old.json").write_text(json.dumps(plan))
    again = ("apply", "old.json", SOURCE, "-o", "small.safetensors")
    result = rankwise(*again, "--calibration", pictures)
    assert result.exit_code == 0, result.output
    without = rankwise(*again)  # what the plan was made from is in the cache by now
    assert without.exit_code == 0, without.output


def test_other_code_is_another_network(rankwise: Command, write_net: Callable[[str], None]) -> None:
    """The hash of before was the same, and so were errors and timings."""
    write_net("1.5")
    assert rankwise("profile", SOURCE, *FAKE).exit_code == 0
    earlier = load_network(SOURCE).earlier_sha256
    write_net("2.5")
    assert load_network(SOURCE).earlier_sha256 == earlier
    result = rankwise("plan", SOURCE, *FAKE, "--max-error", "0.3", "-o", "plan.json")
    assert result.exit_code == 2
    assert "settings or code have changed since" in " ".join(result.output.split())


def test_a_network_that_draws_other_weights_each_time(
    rankwise: Command, write_net: Callable[[str], None]
) -> None:
    write_net("float(np.random.default_rng().random())")
    assert rankwise("profile", SOURCE, *FAKE).exit_code == 0
    result = rankwise("plan", SOURCE, *FAKE, "--max-error", "0.3", "-o", "plan.json")
    assert result.exit_code == 2
    assert "draws other weights each time it is made" in " ".join(result.output.split())
