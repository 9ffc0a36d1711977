from __future__ import annotations

import gc
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from rankwise.backends.base import FileWorkload, ModuleWorkload
from rankwise.errors import BackendError, ModelError, UsageError
from rankwise.integrity.onnx_files import run_onnx
from rankwise.models import torch_network
from rankwise.models.convert import export_onnx
from rankwise.models.fidelity import relative_error
from rankwise.models.network import only
from rankwise.models.source import load_network, network_of_module


class TestFiles:
    def test_onnx_computes_the_same_without_a_word(
        self, small_net, noise, tmp_path, capfd, recwarn
    ):
        network = network_of_module(small_net, (2, 3, 8, 8))
        capfd.readouterr()
        path = network.save(tmp_path / "net.onnx")
        assert capfd.readouterr() == ("", "")
        assert not [w for w in recwarn if "onnx" in str(w.message).lower()]
        assert [p.name for p in tmp_path.iterdir()] == ["net.onnx"]
        inputs = noise(3, 3, 8, 8)
        again = load_network(str(path))
        assert again.input_shape == (2, 3, 8, 8)
        assert relative_error(only(network.outputs(inputs)), only(again.outputs(inputs))) < 1e-4

    def test_compressed_network_exports_as_a_workload(self, small_net, full_rank, noise, tmp_path):
        network = network_of_module(small_net, (1, 3, 8, 8))
        compressed = network.replaced(full_rank(network)[0])
        file = compressed.workload("a/b", (FileWorkload,), tmp_path)
        assert isinstance(file, FileWorkload)
        assert (file.key, file.path.parent) == ("a/b", tmp_path)
        inputs, again = noise(2, 3, 8, 8), load_network(str(file.path))
        assert relative_error(only(network.outputs(inputs)), only(again.outputs(inputs))) < 1e-4

    def test_safetensors_loads_into_the_same_architecture(self, small_net, tmp_path):
        from safetensors.torch import load_file

        path = network_of_module(small_net, (1, 3, 8, 8)).save(tmp_path / "net.safetensors")
        state = load_file(path)
        assert state.keys() == small_net.state_dict().keys()
        assert all(torch.equal(state[k], v) for k, v in small_net.state_dict().items())

    def test_pt2(self, small_net, noise, tmp_path):
        path = network_of_module(small_net, (1, 3, 8, 8)).save(tmp_path / "net.pt2")
        program = torch.export.load(path)  # the test wrote it a line ago
        inputs = torch.from_numpy(noise(1, 3, 8, 8))
        assert torch.allclose(program.module()(inputs), small_net(inputs), atol=1e-6)

    def test_other_suffix_or_folder(self, small_net, tmp_path):
        network = network_of_module(small_net, (1, 3, 8, 8))
        with pytest.raises(UsageError, match="safetensors"):
            network.save(tmp_path / "net.pkl")
        with pytest.raises(ModelError, match="cannot write"):
            network.save(tmp_path / "nowhere" / "net.safetensors")

    def test_a_write_that_fails_leaves_the_old_file(self, small_net, tmp_path, monkeypatch):
        target = tmp_path / "net.safetensors"
        target.write_text("old")

        def full_disk(*_: object, **__: object) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr("safetensors.torch.save_file", full_disk)
        with pytest.raises(ModelError, match="No space left"):
            network_of_module(small_net, (1, 3, 8, 8)).save(target)
        assert [(p.name, p.read_text()) for p in tmp_path.iterdir()] == [(target.name, "old")]

    def test_workload_is_what_the_backend_takes(self, small_net, tmp_path):
        network = network_of_module(small_net, (1, 3, 8, 8))
        module = network.workload("k", (FileWorkload, ModuleWorkload), tmp_path)
        assert isinstance(module, ModuleWorkload)
        assert module.input_shape == (1, 3, 8, 8)
        assert not list(tmp_path.iterdir())
        with pytest.raises(BackendError):
            network.workload("k", (), tmp_path)


def test_the_exporter_is_asked_once(small_net, tmp_path, monkeypatch):
    """And what it wrote goes with the network."""
    asked = []

    def export(*given):
        asked.append(given[-1])
        return export_onnx(*given)

    monkeypatch.setattr(torch_network, "export_onnx", export)
    network = network_of_module(small_net, (1, 3, 8, 8))
    first, second = (network.to_onnx(tmp_path / name) for name in ("a.onnx", "b.onnx"))
    assert len(asked) == 1
    assert first.read_bytes() == second.read_bytes()
    del network
    gc.collect()
    assert not asked[0].parent.exists()


@dataclass
class Found:
    boxes: Tensor
    said: str = "of two kinds"


class Finding(nn.Module):
    """Answers a dataclass, a text, or keeps what is no tensor, as `what` says."""

    def __init__(self, what: str) -> None:
        super().__init__()
        self.what, self.linear = what, nn.Linear(4, 3)

    def forward(self, x: Tensor) -> object:
        found = self.linear(x)
        return Found(found) if self.what == "a dataclass" else {"boxes": found, "said": "yes"}

    def get_extra_state(self) -> object:
        return {"kept": 3}

    def set_extra_state(self, state: object) -> None:
        pass


@pytest.mark.parametrize("what", ["a dataclass", "a text"])
def test_answers_that_hold_other_things_than_tensors(what, noise, tmp_path):
    network = network_of_module(Finding(what), (2, 4))
    inputs = noise(2, 4)
    answers = run_onnx(network.save(tmp_path / "n.onnx"), inputs)
    np.testing.assert_allclose(answers["boxes"], network.outputs(inputs)["boxes"], atol=1e-6)


def test_a_state_that_is_no_tensor_is_named(tmp_path):
    with pytest.raises(ModelError, match=r"'_extra_state' is no plain tensor \(extra state\)"):
        network_of_module(Finding("a text"), (2, 4)).save(tmp_path / "n.safetensors")
