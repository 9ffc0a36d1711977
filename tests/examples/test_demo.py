"""How the demo ends: its status, its last lines, its pictures. The commands themselves are
tested where they are; here they are played by a stand-in."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image


@pytest.fixture
def demo(example):
    return example("demo")


def loss(example, *lost_db):
    named = dict(enumerate(lost_db))
    return example("held_out").Loss(network_error=0.01, original_db=40, lost_db=named)


@pytest.mark.parametrize(
    ("low", "lost_db", "good"),
    [
        (1.2, (0.3, 0.2, 0.4, 0.3), True),
        (1.2, (0.8, 0.7, 0.9, 0.8), False),
        (1.2, (0.3, 0.2, 1.5, 0.3), True),  # one photo alone says little of the mean
        (0.99, (0.0, 0.0, 0.0, 0.0), False),
    ],
)
def test_what_is_good(demo, example, low, lost_db, good):
    plan = {"verified": {"speedup_low": low}}
    assert demo.Result("torch-cpu", plan, {}, loss(example, *lost_db)).is_good is good


class Commands:
    """Stands in for `rankwise`: notes the commands, and leaves a verified plan and a front."""

    def __init__(self, low: float) -> None:
        self.given: list[list[str]] = []
        self.low = low

    def __call__(self, *words: str) -> None:
        self.given.append(list(words))
        if words[0] == "pareto":
            Path(words[words.index("-o") + 1]).touch()
        if words[0] == "plan":
            verified = {
                **{"speedup": 1.3, "speedup_low": self.low, "speedup_high": 1.4},
                "predicted_speedup": 1.3,
            }
            promise = {"confidence": 0.9, "confirmed": True}
            plan = {"verified": verified, "promise": promise}
            Path(words[words.index("-o") + 1]).write_text(json.dumps(plan))


@pytest.fixture
def run(demo, example, monkeypatch, tmp_path):
    """Run the demo on photos of noise, with a network that gives back its input."""
    rng = np.random.default_rng(0)
    for asset in ("photos", "snapshots"):
        (tmp_path / asset).mkdir()
        for number in range(7):
            noise = rng.integers(0, 256, (130, 260, 3), np.uint8)
            Image.fromarray(noise).save(tmp_path / asset / f"{asset}-{number}.png")
    monkeypatch.setattr(example("held_out"), "fetch", lambda name: tmp_path / name)
    monkeypatch.setattr(demo, "torch_network", lambda: lambda mosaics: mosaics)
    monkeypatch.setattr(demo, "file_network", lambda _: lambda mosaics: 0.999 * mosaics)

    def run(low: float = 1.2, seed: int = 1) -> tuple[int, Commands]:
        commands = Commands(low)
        monkeypatch.setattr(demo, "rankwise", commands)
        return demo.main(["--seed", str(seed)]), commands

    return run


def test_it_ends_with_what_was_gained_and_where_the_pictures_are(run, capsys):
    status, _ = run()
    said = capsys.readouterr().out
    assert status == 0
    assert "onnxruntime-cpu" in said
    assert "torch-cpu" in said
    assert "1.30x" in said
    place = next(line for line in said.splitlines() if line.startswith("pictures: "))
    for name in place.removeprefix("pictures: ").split(" and "):
        assert Path(name).is_file()


def test_a_network_that_became_slower_is_no_success(run):
    assert run(low=0.98)[0] == 1


def test_the_seed_is_passed_on(run):
    _, commands = run(seed=7)
    plans = [words for words in commands.given if words[0] == "plan"]
    assert len(plans) == 2
    assert all(words[words.index("--seed") + 1] == "7" for words in plans)
