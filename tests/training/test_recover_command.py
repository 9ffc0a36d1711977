"""`rankwise recover` from the command line: files in, files out, one sentence when it is wrong."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from rankwise import documents
from rankwise.cli import app
from rankwise.documents.plan_files import write_plan
from rankwise.models.fidelity import relative_error
from rankwise.models.network import only
from rankwise.models.picture_files import load_pictures
from rankwise.models.source import load_network
from rankwise.models.splits import Split

SOURCE = """
import torch
from torch import nn

class Net(nn.Module):
    input_shape = (1, 3, 12, 12)
    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.body = nn.Sequential(nn.Conv2d(8, 8, 3, padding=1), nn.ReLU(inplace=True))
        self.fc = nn.Linear(8, 5)
    def forward(self, x):
        return self.fc(self.body(torch.relu(self.stem(x))).mean((2, 3)))
"""
MODEL = "nets_to_recover:Net"


@pytest.fixture
def plan(tmp_path: Path, make_plan, ranks) -> Path:
    (tmp_path / "nets_to_recover.py").write_text(SOURCE)
    document = make_plan(load_network(MODEL), ranks)
    write_plan(document, tmp_path / "plan.json")
    return tmp_path / "plan.json"


@pytest.fixture
def recover(plan: Path, pictures: Path):
    def call(*words: object, status: int = 0, model: str = MODEL, **options: object):
        given = {"data": pictures, "preprocess": "unit", "steps": 60, "rate": 2e-3, **options}
        flat = [w for n, v in given.items() if v is not None for w in (f"--{n}", str(v))]
        result = CliRunner().invoke(
            app, ["recover", str(plan), model, *flat, *map(str, words)], catch_exceptions=False
        )
        assert result.exit_code == status, result.output
        return result

    return call


def test_the_network_and_the_document_are_written(recover, tmp_path):
    result = recover("-o", "small.safetensors", "--json")
    document = documents.Recovery.model_validate_json(result.stdout)
    beside = (tmp_path / "small.recovery.json").read_text()
    assert documents.Recovery.model_validate_json(beside) == document
    assert document.select.after < document.select.before
    report = document.report
    assert report.ratio == pytest.approx(report.after / report.before)
    assert report.ratio_low <= report.ratio <= report.ratio_high
    assert document.stopped in ("budget", "early")
    assert 0 < document.steps <= 60
    assert not list(tmp_path.glob("*.checkpoint*"))


@pytest.mark.slow
def test_every_format_holds_the_recovered_network(recover, tmp_path):
    for name in ("b.onnx", "c.pt2"):
        recover("-o", name)
    rows = np.random.default_rng(0).random((1, 3, 12, 12), dtype=np.float32)
    from_onnx = only(load_network(tmp_path / "b.onnx").outputs(rows))
    program = torch.export.load(tmp_path / "c.pt2").module()
    np.testing.assert_allclose(program(torch.from_numpy(rows)).numpy(force=True), from_onnx, 1e-3)
    assert 0 < relative_error(only(load_network(MODEL).outputs(rows)), from_onnx) < 0.5


def test_a_person_reads_what_changed(recover):
    words = recover("-o", "small.safetensors").stdout
    assert "distillation: " in words
    assert "report split" in words
    assert "->" in words


def test_another_checkpoint_is_set_aside_until_the_end(recover, tmp_path, monkeypatch):
    place = tmp_path / "a.safetensors.checkpoint.safetensors"

    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("rankwise.training.recovery.RecoveryRun.run", interrupted)
        place.write_bytes(b"of before")
        said = recover("-o", "a.safetensors", status=1).output
        old = place.with_name(f"{place.name}.old")
        assert old.read_bytes() == b"of before"
        assert old.name in said
        assert "before the first step" in said
        place.write_bytes(b"of before")
        assert "--resume" in recover("-o", "a.safetensors", "--resume", status=1).output
        place.unlink()
    recover("-o", "a.safetensors")
    assert not list(tmp_path.glob("*checkpoint*"))


class TestRefusals:
    @pytest.mark.parametrize(
        ("words", "options", "sentence"),
        [
            (["-o", "x.pth"], {}, "use .onnx"),
            (["-o", "nowhere/x.onnx"], {}, "no such folder"),
            (["-o", "x.onnx"], {"steps": None}, "--budget 5m"),
            (["-o", "x.onnx"], {"steps": 0}, "more than nothing"),
            (["-o", "x.onnx"], {"budget": "soon"}, "--budget 'soon'"),
            (["-o", "x.onnx"], {"budget": "nans"}, "no length of time"),
            (["-o", "x.onnx"], {"freeze": "winter"}, "--freeze"),
            (["-o", "x.onnx"], {"threads": 0}, "--threads"),
            (["-o", "x.onnx"], {"data": "nothing"}, "no folder of pictures"),
            (["-o", "x.onnx", "--resume"], {}, "leave --resume out"),
        ],
    )
    def test_one_sentence_and_status_2(self, recover, words, options, sentence, tmp_path):
        result = recover(*words, status=2, **options)
        assert sentence in result.output
        assert "Traceback" not in result.output
        assert not list(tmp_path.glob("x.*"))

    def test_nothing_better_is_status_3_and_written_all_the_same(
        self, recover, tmp_path, monkeypatch
    ):
        """The rate destroys everything; statistics of channels would help without any training."""
        monkeypatch.setattr("rankwise.training.channel_statistics.MIN_EXAMPLES", 1000)
        result = recover("-o", "x.safetensors", status=3, rate=1e4)
        assert "no state was better" in result.output
        assert (tmp_path / "x.safetensors").exists()
        (tmp_path / "x.safetensors").write_bytes(b"better, of before")
        result = recover("-o", "x.safetensors", status=3, rate=1e4)
        assert "is left alone" in result.output
        assert (tmp_path / "x.safetensors").read_bytes() == b"better, of before"

    @pytest.mark.parametrize("split", ["fit", "select", "report"])
    def test_a_picture_that_is_too_small_is_found_before_training(
        self, recover, pictures, tmp_path, monkeypatch, split
    ):
        folder = tmp_path / "some"
        shutil.copytree(pictures, folder)
        for shade in range(100):  # until its hash puts it there
            Image.fromarray(np.full((10, 10, 3), shade, np.uint8)).save(folder / "odd.png")
            found = load_pictures(folder)
            place = next(n for n, one in enumerate(found) if one.name.endswith("odd.png"))
            if place in getattr(Split.of([one.sha256 for one in found]), split):
                break
        monkeypatch.setattr("rankwise.training.recovery.RecoveryRun.run", None)
        result = recover("-o", "x.safetensors", status=2, data=folder)
        assert "10x10 is smaller than" in result.output

    def test_what_cannot_be_exported_is_refused_before_training(
        self, recover, tmp_path, monkeypatch, plan, make_plan, ranks
    ):
        (tmp_path / "nets_to_refuse.py").write_text(
            SOURCE.replace(
                "return self.fc", "if float(x.sum()) > 1e9: x = -x\n        return self.fc"
            )
        )
        model = "nets_to_refuse:Net"
        write_plan(make_plan(load_network(model), ranks), plan)
        monkeypatch.setattr("rankwise.training.recovery.RecoveryRun.run", None)
        recover("-o", "x.onnx", status=2, model=model)

    def test_nothing_replaced(self, recover, plan, make_plan):
        write_plan(make_plan(load_network(MODEL), {}), plan)
        assert "replaces no layer" in recover("-o", "x.onnx", status=3).output
