"""Files that answer otherwise than the network that they were written from get no name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import numpy_helper
from torch import nn

from rankwise.errors import ModelError
from rankwise.inputs.examples import NetworkInputs
from rankwise.integrity.checked_files import PRECISION, Checked, difference
from rankwise.models import convert, torch_network
from rankwise.models.source import load_network, network_of_module

SHAPE = (1, 3, 8, 8)


def off_by_one(value: np.ndarray) -> np.ndarray:
    """What a batch normalisation that is folded wrongly leaves (pytorch 166797, 169178)."""
    return value + np.float32(0.5) if value.ndim == 1 and value.dtype == np.float32 else value


def wrong_model(model: onnx.ModelProto) -> onnx.ModelProto:
    changed = onnx.ModelProto.FromString(model.SerializeToString())
    for tensor in changed.graph.initializer:
        value = off_by_one(numpy_helper.to_array(tensor))
        tensor.CopyFrom(numpy_helper.from_array(value, tensor.name))
    return changed


def break_torch_onnx(monkeypatch: pytest.MonkeyPatch) -> None:
    def export(*given: Any) -> Path:
        path = convert.export_onnx(*given)
        onnx.save(wrong_model(onnx.load(path)), path)
        return path

    monkeypatch.setattr(torch_network, "export_onnx", export)


def break_pt2(monkeypatch: pytest.MonkeyPatch) -> None:
    write = torch.export.save

    def save(program: torch.export.ExportedProgram, *given: Any) -> None:
        state = program.state_dict
        state |= {
            name: nn.Parameter(one.detach() + 0.5)
            for name, one in state.items()
            if isinstance(one, nn.Parameter) and one.ndim == 1
        }
        write(program, *given)

    monkeypatch.setattr(torch.export, "save", save)


def break_states(kind: str) -> Callable[[pytest.MonkeyPatch], None]:
    def patch(monkeypatch: pytest.MonkeyPatch) -> None:
        import safetensors.numpy
        import safetensors.torch

        home = safetensors.torch if kind == "torch" else safetensors.numpy
        write = home.save_file

        def save(state: dict[str, Any], *given: Any, **more: Any) -> None:
            change = (lambda t: t + 0.5) if kind == "torch" else (lambda a: off_by_one(a))
            write({n: change(t) if t.ndim == 1 else t for n, t in state.items()}, *given, **more)

        monkeypatch.setattr(home, "save_file", save)

    return patch


def break_onnx_files(monkeypatch: pytest.MonkeyPatch) -> None:
    write = onnx.save
    monkeypatch.setattr(onnx, "save", lambda model, path: write(wrong_model(model), path))


FAULTS = [
    ("torch", "onnx", break_torch_onnx),
    ("torch", "pt2", break_pt2),
    ("torch", "safetensors", break_states("torch")),
    ("onnx", "onnx", break_onnx_files),
    ("onnx", "pt2", break_pt2),
    ("onnx", "safetensors", break_states("onnx")),
]


@pytest.mark.parametrize(("framework", "suffix", "fault"), FAULTS)
def test_a_wrong_file_gets_no_name(
    small_net, make_onnx, tmp_path, monkeypatch, framework, suffix, fault
):
    network = (
        network_of_module(small_net, SHAPE)
        if framework == "torch"
        else load_network(str(make_onnx()))
    )
    folder = tmp_path / "out"
    folder.mkdir()
    target = folder / f"net.{suffix}"
    target.write_text("old")
    with monkeypatch.context() as broken:
        fault(broken)
        with pytest.raises(
            ModelError, match=r"answers otherwise than the network \(output \w+: relative"
        ):
            network.save(target)
    assert [(p.name, p.read_text()) for p in folder.iterdir()] == [(target.name, "old")]
    network.save(target)
    assert target.stat().st_size > 1000


@pytest.mark.parametrize("framework", ["torch", "onnx"])
def test_a_state_that_lacks_a_tensor(small_net, make_onnx, tmp_path, monkeypatch, framework):
    import safetensors.numpy
    import safetensors.torch

    network = (
        network_of_module(small_net, SHAPE)
        if framework == "torch"
        else load_network(str(make_onnx()))
    )
    home = safetensors.torch if framework == "torch" else safetensors.numpy
    write = home.save_file
    monkeypatch.setattr(
        home, "save_file", lambda state, *a, **k: write(dict([*state.items()][1:]), *a, **k)
    )
    with pytest.raises(ModelError, match="does not hold the network's"):
        network.save(tmp_path / "out.safetensors")
    assert not (tmp_path / "out.safetensors").exists()


class Answers(nn.Module):
    """Batch normalisations that share a convolution, and answers of several types."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.left, self.right = nn.BatchNorm2d(4), nn.BatchNorm2d(4)
        for norm in (self.left, self.right):
            for tensor in (norm.running_mean, norm.weight, norm.bias):
                nn.init.normal_(tensor)
            nn.init.uniform_(norm.running_var, 0.5, 2)

    def forward(self, x: torch.Tensor) -> dict[str, Any]:
        y = self.conv(x)
        z = self.left(y) + self.right(y)
        return {"map": z, "best": z.flatten(1).argmax(1), "parts": (z > 0, z.softmax(1))}


@pytest.mark.parametrize("suffix", ["onnx", "pt2", "safetensors"])
def test_right_files_of_several_outputs(tmp_path, suffix):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = network_of_module(Answers(), SHAPE)
    assert network.save(tmp_path / f"net.{suffix}").exists()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_not_taken_for_a_fault(tmp_path, dtype):
    class Half(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = nn.Conv2d(3, 64, 3).to(dtype)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.conv(x.to(dtype)).float().mean((2, 3))

    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = network_of_module(Half(), SHAPE)
    assert network.save(tmp_path / "net.pt2").exists()


def checked(wanted: Any, given: Any, **more: Any) -> None:
    answers = wanted if callable(wanted) else lambda _: wanted
    Checked(answers, NetworkInputs.picture((2, 3)), **more).check(Path("a.onnx"), lambda *_: given)


class TestRules:
    def test_rounding_passes_and_more_does_not(self):
        one = np.arange(6, dtype=np.float32)
        checked({"y": one}, {"other": one * np.float32(1 + 1e-4)})
        with pytest.raises(ModelError, match=r"output y: relative error 0\.01; .* 0\.00098"):
            checked({"y": one}, {"other": one * np.float32(1.01)})

    def test_shapes_types_and_numbers_of_outputs(self):
        one = np.ones((2, 3), np.float32)
        with pytest.raises(ModelError, match=r"shape \(3, 2\) instead of \(2, 3\)"):
            checked({"y": one}, {"y": one.T})
        with pytest.raises(ModelError, match=r"2 outputs \(y, z\), the network 1 \(y\)"):
            checked({"y": one}, {"y": one, "z": one})
        with pytest.raises(ModelError, match=r"share that differs 0\.33"):
            checked({"y": np.array([1, 2, 3])}, {"y": np.array([1, 2, 4])})
        with pytest.raises(ModelError, match="otherwise"):
            checked({"y": one}, {"y": one.astype(np.int64)})

    def test_numbers_that_are_not_finite(self):
        nan = np.array([np.nan, np.inf, 1], np.float32)
        assert difference(nan, nan) == 0
        assert difference(nan, np.array([np.nan, 1, 1], np.float32)) == np.inf
        assert difference(np.array([1, 1, 1], np.float32), nan) == np.inf

    def test_an_output_of_zeros(self):
        zeros = np.zeros(3, np.float32)
        checked({"y": zeros}, {"y": zeros})
        with pytest.raises(ModelError, match="relative error inf"):
            checked({"y": zeros}, {"y": zeros + 1})

    def test_what_rounding_alone_changes_is_tolerated(self):
        """An output that moves by 1e-4 where the input's last bits do cannot be held to 1e-3."""

        def chaotic(inputs: np.ndarray) -> dict[str, np.ndarray]:
            return {"y": 1 + 1e3 * (inputs - noise)}

        noise = NetworkInputs.picture((2, 3)).noise(2, seed=0)
        assert 8 * PRECISION * 1e3 < 1e-3
        checked(chaotic, {"y": np.full((2, 3), 1.002)})
        with pytest.raises(ModelError, match="otherwise"):
            checked(chaotic, {"y": np.full((2, 3), 1.2)})
        with pytest.raises(ModelError, match="otherwise"):
            checked({"y": np.ones((2, 3))}, {"y": np.full((2, 3), 1.002)})
