from __future__ import annotations

import pickle
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
import torch

from rankwise.errors import ModelError
from rankwise.models.source import load_network
from rankwise.sources import zoo

MODULE = """
import torch
from torch import nn

input_shape = (2, 3, 8, 8)

def net():
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten())

class Open(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
    def forward(self, x):
        return self.conv(x)

ready = net()

def no_module():
    return 3

def broken():
    raise RuntimeError("first line\\nsecond line")
"""


@pytest.fixture
def user_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A module in the working directory (tests run in their own)."""
    name = "users_networks"
    (tmp_path / f"{name}.py").write_text(MODULE)
    monkeypatch.delitem(sys.modules, name, raising=False)
    return name


class TestSources:
    def test_unknown_source_lists_what_is_accepted(self):
        for text in ("resnet51", "", "a b:c", "model.pth", "x:"):
            with pytest.raises(ModelError, match=r"resnet18.*\.onnx.*package\.module:callable"):
                load_network(text)

    def test_pt2_is_never_read(self, tmp_path):
        path = tmp_path / "net.pt2"
        path.write_bytes(b"")
        with pytest.raises(ModelError, match="can run code"):
            load_network(str(path))
        with pytest.raises(ModelError, match="can run code"):
            load_network("resnet18", weights=path)

    def test_callable_with_the_modules_input_shape(self, user_module):
        before = list(sys.path)
        network = load_network(f"{user_module}:net")
        assert sys.path == before
        assert network.input_shape == (2, 3, 8, 8)
        assert network.source == f"{user_module}:net"
        assert network.sha256 == load_network(f"{user_module}:net").sha256
        assert load_network(f"{user_module}:net", batch=5).input_shape == (5, 3, 8, 8)

    def test_class_and_instance(self, user_module):
        shape = (1, 3, 9, 9)
        assert load_network(f"{user_module}:Open", input_shape=shape).layers[0].name == "conv"
        assert load_network(f"{user_module}:ready", input_shape=shape).input_shape == shape

    def test_models_of_a_package_by_its_short_name(self, tmp_path, monkeypatch):
        package = tmp_path / "visionlike"
        (package / "models").mkdir(parents=True)
        (package / "__init__.py").write_text("")
        (package / "models/__init__.py").write_text(MODULE)
        for name in ("visionlike", "visionlike.models"):
            monkeypatch.delitem(sys.modules, name, raising=False)
        assert load_network("visionlike:net").input_shape == (2, 3, 8, 8)
        assert load_network("visionlike.models:net").input_shape == (2, 3, 8, 8)

    @pytest.mark.parametrize(
        ("name", "message"),
        [
            ("none", "no callable"),
            ("no_module", "returned a int"),
            ("broken", "failed: first line"),
        ],
    )
    def test_callables_that_give_no_network(self, user_module, name, message):
        with pytest.raises(ModelError, match=message) as caught:
            load_network(f"{user_module}:{name}")
        assert "\n" not in str(caught.value)

    def test_import_that_fails(self, tmp_path):
        (tmp_path / "wrong_syntax.py").write_text("def")
        for place in ("wrong_syntax", "no.such.place"):
            with pytest.raises(ModelError, match=f"cannot import {place}"):
                load_network(f"{place}:f")

    def test_callable_without_any_input_shape(self, tmp_path, monkeypatch):
        monkeypatch.delitem(sys.modules, "shapeless", raising=False)
        text = MODULE.replace("input_shape = (2, 3, 8, 8)", "")
        (tmp_path / "shapeless.py").write_text(text)
        with pytest.raises(ModelError, match="--input-shape"):
            load_network("shapeless:net")

    @pytest.mark.parametrize(
        "shape", [(1, 4, 224, 224), (1, 3, 224), (0, 3, 224, 224), (1, 3, -1, 3), (), (224,)]
    )
    def test_input_shape_that_does_not_fit(self, shape):
        with pytest.raises(ModelError) as caught:
            load_network("resnet18", input_shape=shape)
        assert "\n" not in str(caught.value)

    def test_input_too_small(self, user_module):
        with pytest.raises(ModelError, match="does not run"):
            load_network(f"{user_module}:net", input_shape=(1, 3, 2, 2))


class Mine:
    """An object whose unpickling leaves a trace."""

    def __reduce__(self):
        return (Path.touch, (Path("it-ran"),))


class TestWeights:
    @pytest.fixture
    def state(self) -> dict[str, torch.Tensor]:
        state = zoo.build("mobilenet_v2").state_dict()
        return {key: tensor + 1 for key, tensor in state.items()}

    @pytest.mark.parametrize(
        "wrap",
        [
            lambda s: s,
            lambda s: {"state_dict": s, "epoch": 3},
            lambda s: {"model": {f"module.{k}": v for k, v in s.items()}},
            lambda s: {k: v for k, v in s.items() if "num_batches" not in k},
        ],
    )
    def test_pth(self, state, wrap, tmp_path):
        path = tmp_path / "w.pth"
        torch.save(wrap(state), path)
        network = load_network("mobilenet_v2", weights=path, input_shape=(1, 3, 32, 32))
        weight = network.weights("features.0.0")[0]
        assert torch.equal(torch.from_numpy(weight), state["features.0.0.weight"])

    def test_safetensors(self, state, tmp_path):
        from safetensors.torch import save_file

        save_file(state, tmp_path / "w.safetensors")
        first = load_network("mobilenet_v2", weights=tmp_path / "w.safetensors")
        assert first.sha256 != load_network("mobilenet_v2").sha256

    def test_an_object_in_a_pickle_does_not_run(self, tmp_path):
        torch.save({"conv1.weight": Mine()}, tmp_path / "zip.pth")
        (tmp_path / "plain.pth").write_bytes(pickle.dumps(Mine()))
        torch.save(zoo.build("resnet18"), tmp_path / "module.pth")
        for name in ("zip", "plain", "module"):
            with pytest.raises(ModelError, match="plain tensors") as caught:
                load_network("resnet18", weights=tmp_path / f"{name}.pth")
            assert "\n" not in str(caught.value)
        assert not Path("it-ran").exists()

    def test_damaged_or_missing_files(self, state, tmp_path):
        (tmp_path / "text.pth").write_text("hello")
        (tmp_path / "text.safetensors").write_text("hello")
        torch.save(state, tmp_path / "short.pth")
        data = (tmp_path / "short.pth").read_bytes()
        (tmp_path / "short.pth").write_bytes(data[: len(data) // 2])
        with zipfile.ZipFile(tmp_path / "zip.pth", "w") as archive:
            archive.writestr("a", "b")
        torch.save([1, 2], tmp_path / "list.pth")
        (tmp_path / "w.npy").write_bytes(b"")
        names = [
            "text.pth",
            "text.safetensors",
            "short.pth",
            "zip.pth",
            "list.pth",
            "w.npy",
            "none.pth",
        ]
        for name in names:
            with pytest.raises(ModelError, match=name) as caught:
                load_network("mobilenet_v2", weights=tmp_path / name)
            assert "\n" not in str(caught.value)

    def test_weights_of_another_network(self, state, tmp_path):
        torch.save(state, tmp_path / "w.pth")
        with pytest.raises(ModelError, match=r"another network: \d+ missing .*unknown"):
            load_network("resnet18", weights=tmp_path / "w.pth")
        torch.save({**state, "classifier.1.bias": torch.zeros(3)}, tmp_path / "w.pth")
        with pytest.raises(ModelError, match="of another shape"):
            load_network("mobilenet_v2", weights=tmp_path / "w.pth")


def test_reading_does_not_load_torchs_compiler(tmp_path):
    """It takes longer than all the rest of the start of a command."""
    code = (
        "import sys, torch\n"
        "from rankwise.models.source import network_of_module as read\n"
        "network = read(torch.nn.Sequential(torch.nn.Linear(4, 4)), (2, 4))\n"
        "assert network.layers[0].spec and network.accounts.total == 20\n"
        "print('torch._dynamo' in sys.modules)"
    )
    ran = subprocess.run(
        [sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    assert ran.stdout.strip() == "False"
