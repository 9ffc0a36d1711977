"""The paper's recipe, small: the whole script on made-up pictures, stopped and gone on with."""

from __future__ import annotations

import gzip
import json
import struct
import sys
from pathlib import Path

import numpy as np
import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
VARIANTS = ("uncompressed", "mode1 pr", "measured plan")


def write_idx(path: Path, array: np.ndarray) -> None:
    header = bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape)
    content = header + array.astype(np.uint8).tobytes()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A bright square at one of ten places says the class; packed and plain files, mixed."""
    folder, rng = tmp_path / "idx", np.random.default_rng(0)
    folder.mkdir()
    for name, count, ending in (("train", 192, ".gz"), ("t10k", 100, "")):
        labels = rng.integers(10, size=count)
        images = rng.integers(0, 60, (count, 28, 28))
        for image, label in zip(images, labels, strict=True):
            row, column = divmod(int(label), 5)
            image[6 + 8 * row : 12 + 8 * row, 2 + 5 * column : 6 + 5 * column] = 255
        write_idx(folder / f"{name}-images-idx3-ubyte{ending}", images)
        write_idx(folder / f"{name}-labels-idx1-ubyte{ending}", labels)
    return folder


@pytest.fixture
def recipe(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys, "path", [str(BENCHMARKS), *sys.path])
    monkeypatch.setenv("FASHION_BLOCKS", "1")
    monkeypatch.setenv("FASHION_WIDTHS", "16,32")
    monkeypatch.setenv("PYTHONPATH", str(BENCHMARKS))
    import paper_recipe

    return paper_recipe


def words(data: Path, *more: str) -> list[str]:
    small = {"--epochs": 2, "--rounds": 3, "--processes": 1, "--max-error": 5}
    small |= {"--backend": "fake:step=16"}
    given = [str(word) for pair in small.items() for word in pair]
    variants = [word for name in VARIANTS for word in ("--variants", name)]
    return ["--data", str(data), "--output", "table.md", *given, *variants, *more]


@pytest.fixture
def timed_once(recipe, monkeypatch: pytest.MonkeyPatch) -> None:
    """Starting a process takes seconds: only one variant's training step is really timed."""
    real, calls = vars(recipe.Recipe)["_speedup"], []

    def speedup(self, decisions, phase, _batch):
        calls.append(phase)
        return real(self, decisions, phase, 2) if len(calls) == 1 else [1.0, 1.0, 1.0]

    monkeypatch.setattr(recipe.Recipe, "_speedup", speedup)


@pytest.mark.slow
@pytest.mark.usefixtures("timed_once")
def test_the_table_is_made_once_and_gone_on_with(recipe, data, tmp_path, capsys, monkeypatch):
    assert recipe.main(words(data, "--budget", "0s")) == 1
    assert "0 of 3 rows" in capsys.readouterr().out
    assert recipe.main(words(data)) == 0
    table = (tmp_path / "table.md").read_text()
    assert table.count("\n") == 2 + len(VARIANTS)
    assert all(f"| {name} |" in table for name in VARIANTS)
    assert (tmp_path / "table.svg").read_text().startswith("<?xml")

    kept = tmp_path / "paper_recipe/grid/seed-0"
    measured = json.loads((kept / "measured-plan.json").read_text())
    whole = json.loads((kept / "uncompressed.json").read_text())
    assert measured["macs"] < whole["macs"]
    assert measured["decisions"]
    assert set(measured["times"]) == {"training 128", "inference 128", "inference 1"}
    assert all(low <= mid <= high for mid, low, high in measured["times"].values())
    assert 0 <= whole["accuracy"] <= 100
    assert whole["times"] == {}

    def never(*_: object) -> None:
        raise AssertionError("a variant was made twice")

    monkeypatch.setattr(recipe.Recipe, "_compressed", never)
    assert recipe.main(words(data)) == 0


@pytest.mark.usefixtures("recipe")
def test_training_goes_on_where_it_stopped(data, tmp_path):
    """Epoch by epoch, with a stop in between: the same weights to the bit."""
    import fashion
    import torch

    pictures = fashion.load(data, 128, 50)
    plan = fashion.Recipe(epochs=3, span=3, rate=0.05, batch=64)

    def trained(place: Path, stop_after: int | None) -> torch.nn.Module:
        torch.manual_seed(0)
        model, left = fashion.network(), [stop_after if stop_after is not None else 99]

        def go_on() -> bool:
            left[0] -= 1
            return left[0] >= 0

        finished = fashion.train(model, pictures, plan, place, go_on)
        return model if finished else trained(place, None)

    one, two = trained(tmp_path / "a", None), trained(tmp_path / "b", 1)
    for first, second in zip(one.state_dict().values(), two.state_dict().values(), strict=True):
        assert torch.equal(first, second)


def test_every_mode_comes_with_both_rules_and_with_and_without_quantum(recipe):
    found = recipe.rule_variants()
    assert ("vanilla", "pr", 1) in found.values()
    assert {(rule, quantum > 1) for _, rule, quantum in found.values()} == {
        ("pr", False), ("pr", True), ("vbmf", False), ("vbmf", True),
    }  # fmt: skip
    assert len({mode for mode, *_ in found.values()}) >= 6


def test_a_missing_data_set_is_said(recipe, tmp_path):
    with pytest.raises(SystemExit, match="dataset-fashion-mnist"):
        recipe.main(["--data", str(tmp_path / "nothing")])
