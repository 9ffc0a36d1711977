"""`apply --dtype int8` and `verify --dtype int8`, on the fake backend."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from typer.testing import Result

import rankwise as rw
from rankwise import documents
from rankwise.models.onnx_network import OnnxNetwork
from rankwise.quantization.integer_kernels import integer_products

Command = Callable[..., Result]
FAKE = "fake:step=16"


@pytest.fixture
def plan(rankwise: Command, network_file: Path, pictures: Path, tmp_path: Path) -> Path:
    path = tmp_path / "plan.json"
    words = ["--backend", FAKE, "--max-error", 0.4, "--no-refine", "--preprocess", "unit"]
    result = rankwise("plan", network_file, *words, "--calibration", pictures, "-o", path)
    assert result.exit_code == 0, result.output
    return path


@pytest.mark.usefixtures("profiled")
def test_four_networks_and_a_file(
    rankwise: Command, plan: Path, network_file: Path, pictures: Path, tmp_path: Path
) -> None:
    smaller = tmp_path / "smaller.int8.onnx"
    words = [plan, network_file, "--dtype", "int8"]
    result = rankwise("apply", *words, "--calibration", pictures, "-o", smaller)
    assert result.exit_code == 0, result.output
    onnx.checker.check_model(str(smaller), full_check=True)
    decisions = documents.Plan.model_validate_json(plan.read_text()).decisions
    assert integer_products(OnnxNetwork.load(smaller).model) > 4 + bool(decisions)

    result = rankwise("verify", *words, "--data", pictures, "--json")
    assert result.exit_code == 0, result.output
    found = documents.VerificationDocument.model_validate(json.loads(result.stdout))
    assert [one.network for one in found.in_int8] == ["original", "compressed"]
    original, compressed = found.in_int8
    assert original.speedup > 1.1  # this device multiplies integers twice as fast
    assert compressed.speedup > max(original.speedup, found.speedup)
    assert original.network_error is not None
    assert 0 < original.network_error < 0.2
    assert original.errors is not None
    assert len(original.errors.parts) == 1
    noted = documents.Plan.model_validate_json(plan.read_text())
    assert noted.verified is not None
    assert noted.verified.in_int8 == found.in_int8
    shown = rankwise("verify", *words, "--data", pictures)
    assert "original in int8: " in shown.stdout


@pytest.mark.usefixtures("profiled")
def test_refused_in_one_sentence(
    rankwise: Command, plan: Path, network_file: Path, pictures: Path, tmp_path: Path
) -> None:
    int8, data = ["--dtype", "int8"], ["--calibration", pictures]
    smaller, torch_cpu = tmp_path / "smaller.onnx", ["--backend", "torch-cpu"]
    for words, sentence in (
        (["apply", *int8, "-o", smaller], "give --calibration"),
        (["apply", *int8, *data, "-o", tmp_path / "smaller.pt2"], "are .onnx files"),
        (["apply", *int8, *data, "--in-float", "stem", "-o", smaller], "no layer 'stem'"),
        (["verify", *int8], "give --data"),
        (["verify", *int8, *data, *torch_cpu], "torch-cpu runs no int8 files"),
        (["verify", *int8, *data, *torch_cpu, "--phase", "training"], "not timed in int8"),
    ):
        result = rankwise(words[0], plan, network_file, *words[1:])
        assert result.exit_code == 2, result.output
        assert sentence in " ".join(result.output.split())
        assert not smaller.exists()


class TwoHeads(torch.nn.Module):
    input_shape = (1, 3, 16, 16)

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.stem, self.body = torch.nn.Conv2d(3, 32, 3), torch.nn.Conv2d(32, 48, 3)
        self.boxes, self.scores = torch.nn.Conv2d(48, 4, 1), torch.nn.Conv2d(48, 8, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.body(torch.relu(self.stem(x))))
        return torch.cat([1000 * self.boxes(x), self.scores(x).sigmoid()], 1)


def test_a_torch_network_is_exported_with_an_open_batch(tmp_path: Path) -> None:
    network, rows = TwoHeads().eval(), tmp_path / "rows.npz"
    coarse = np.random.default_rng(0).normal(size=(16, 3, 4, 4)).astype(np.float32)
    np.savez(rows, np.kron(coarse, np.ones((4, 4), np.float32)))
    where = {"db": f"sqlite:///{tmp_path}/store.db"}
    example = torch.zeros(1, 3, 16, 16)
    rw.profile(network, example, backend=FAKE, **where)
    made = rw.plan(
        network, example, backend=FAKE, max_error=0.4, refine=False, calibration=rows, **where
    )
    file = tmp_path / "net.int8.onnx"
    small = rw.apply(made, network, example, calibration=rows, dtype="int8", output=file, **where)
    inputs = np.random.default_rng(1).normal(size=(3, 3, 16, 16)).astype(np.float32)
    (answer,) = onnxruntime.InferenceSession(str(file)).run(None, {"input": inputs})
    wanted = network(torch.from_numpy(inputs)).detach().numpy()
    for part in (slice(0, 4), slice(4, None)):
        lost = np.linalg.norm(answer[:, part] - wanted[:, part])
        assert lost < 0.5 * np.linalg.norm(wanted[:, part])
    assert integer_products(small.model) >= 4
