"""`--weights`: what people's files hold around the tensors, and how their names begin."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from rankwise.errors import ModelError
from rankwise.models.source import load_network
from rankwise.sources.checkpoint import read_state
from rankwise.sources.weights import load_state

NETS = """
import torch
from torch import nn

class Net(nn.Module):
    input_shape = (1, 3, 8, 8)

    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
        self.head = nn.Linear(4, 5)

    def forward(self, x):
        return self.head(self.body(x).mean((2, 3)))

class Inside(nn.Module):
    input_shape = (1, 3, 8, 8)

    def __init__(self):
        super().__init__()
        self.model = Net()

    def forward(self, x):
        return self.model(x)

class Parallel(nn.Module):
    input_shape = (1, 3, 8, 8)

    def __init__(self):
        super().__init__()
        self.body = nn.DataParallel(Net().body)
        self.head = nn.Linear(4, 5)

    forward = Net.forward
"""
State = dict[str, Tensor]


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> State:
    (tmp_path / "people_nets.py").write_text(NETS)
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(5)
    return {
        "body.0.weight": torch.randn(4, 3, 3, 3),
        "body.0.bias": torch.randn(4),
        **{f"body.1.{name}": torch.rand(4) for name in ("weight", "bias")},
        **{f"body.1.running_{name}": torch.rand(4) for name in ("mean", "var")},
        "body.1.num_batches_tracked": torch.tensor(7),
        "head.weight": torch.randn(5, 4),
        "head.bias": torch.randn(5),
    }


def prefixed(*prefixes: str) -> Callable[[State], State]:
    """The first prefix before the first tensor, the second before the second, and so on."""
    return lambda state: {
        prefixes[number % len(prefixes)] + name: one
        for number, (name, one) in enumerate(state.items())
    }


NAMES: dict[str, Callable[[State], Any]] = {
    "module.": prefixed("module."),
    "_orig_mod.": prefixed("_orig_mod."),
    "model.": prefixed("model."),
    "module._orig_mod.": prefixed("module._orig_mod."),
    "_orig_mod.module.model.": prefixed("_orig_mod.module.model."),
    "model.module.model._orig_mod.": prefixed("model.module.model._orig_mod."),
    "some of the names": prefixed("model.", "model._orig_mod.", ""),
    "around a part": lambda state: {
        n.replace("body.", "body.module."): t for n, t in state.items()
    },
    "around and inside": lambda state: {
        "model." + n.replace("body.", "body._orig_mod."): t for n, t in state.items()
    },
    "average of torch's": lambda state: {
        "n_averaged": torch.tensor(3),
        **prefixed("module.")(state),
    },
}


def read(weights: Path, net: str = "people_nets:Net") -> tuple[State, tuple[str, ...]]:
    network = load_network(net, weights=weights)
    return network.module.state_dict(), tuple(network.loading_notes)


def check(found: State, wanted: State, prefix: str = "") -> None:
    for name, tensor in wanted.items():
        assert torch.equal(found[prefix + name], tensor), name


@pytest.mark.parametrize("names", NAMES)
def test_prefixes_are_left_out(state: State, names: str) -> None:
    torch.save(NAMES[names](state), "w.pth")
    save_file(NAMES[names](state), "w.safetensors")
    for file in ("w.pth", "w.safetensors"):
        found, notes = read(Path(file))
        check(found, state)
        assert notes == ()


@pytest.mark.parametrize("names", NAMES)
def test_prefixes_that_the_module_has(state: State, names: str) -> None:
    torch.save(NAMES[names](state), "w.pth")
    check(read(Path("w.pth"), "people_nets:Inside")[0], state, "model.")
    check(read(Path("w.pth"), "people_nets:Parallel")[0], state)


def test_plain_names_into_a_module_that_wraps_one(state: State) -> None:
    torch.save(state, "w.pth")
    check(read(Path("w.pth"), "people_nets:Inside")[0], state, "model.")


def other(state: State) -> State:
    return {name: tensor + 1 for name, tensor in state.items()}


AVERAGED = "w.pth holds weights ({}) and their average ({}): the average was taken"
INSIDE: dict[str, tuple[Callable[[State], Any], str]] = {
    "state_dict": (lambda s: {"state_dict": s, "epoch": 3, "optimizer": {"state": {}}}, ""),
    "model": (lambda s: {"model": s, "args": {"lr": 0.1}}, ""),
    "net": (lambda s: {"net": prefixed("module.")(s), "acc": 93.1}, ""),
    "one in another": (lambda s: {"model": {"state_dict": prefixed("module.")(s)}}, ""),
    "model_ema": (
        lambda s: {"model": other(s), "model_ema": s},
        AVERAGED.format("model", "model_ema"),
    ),
    "state_dict_ema": (
        lambda s: {"state_dict": other(s), "state_dict_ema": prefixed("module.")(s)},
        AVERAGED.format("state_dict", "state_dict_ema"),
    ),
    "params_ema": (
        lambda s: {"params": other(s), "params_ema": s},
        AVERAGED.format("params", "params_ema"),
    ),
    "the average alone": (lambda s: {"model_ema": s}, ""),
    "settings of an average": (lambda s: {"ema": {"decay": 0.99}, "model": s}, ""),
}


@pytest.mark.parametrize("inside", INSIDE)
def test_the_state_is_found_in_what_a_script_saved(state: State, inside: str) -> None:
    make, note = INSIDE[inside]
    torch.save(make(state), "w.pth")
    found, notes = read(Path("w.pth"))
    check(found, state)
    assert notes == ((note,) if note else ())


def test_the_note_is_read_by_the_user(state: State, rankwise: Callable[..., Any]) -> None:
    torch.save({"model": other(state), "model_ema": state}, "w.pth")
    said = rankwise("layers", "people_nets:Net", "--weights", "w.pth")
    assert "note: " + AVERAGED.format("model", "model_ema") in said.output
    said = rankwise("layers", "people_nets:Net", "--weights", "w.pth", "--json")
    assert json.loads(said.stdout)["model"]["notes"] == [AVERAGED.format("model", "model_ema")]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_precisions_go_into_float32(state: State, dtype: torch.dtype) -> None:
    save_file(
        {n: t.to(dtype) if t.is_floating_point() else t for n, t in state.items()}, "w.safetensors"
    )
    found, _ = read(Path("w.safetensors"))
    for name, tensor in state.items():
        assert found[name].dtype == tensor.dtype
        np.testing.assert_allclose(found[name], tensor, rtol=1e-2)


def sharded(state: State, suffix: str = ".safetensors") -> Path:
    names, places = list(state), {}
    for number, part in enumerate((names[::2], names[1::2]), 1):
        file = f"model-{number:05}-of-00002{suffix}"
        places.update(dict.fromkeys(part, file))
        tensors = {name: state[name] for name in part}
        save_file(tensors, file) if suffix == ".safetensors" else torch.save(tensors, file)
    index = Path(f"model{suffix}.index.json")
    index.write_text(json.dumps({"metadata": {"total_size": 1}, "weight_map": places}))
    return index


@pytest.mark.parametrize("suffix", [".safetensors", ".bin"])
def test_weights_in_several_files(state: State, suffix: str) -> None:
    index = sharded(prefixed("model.")(state), suffix)
    check(read(index)[0], state)


def test_what_is_wrong_with_several_files(state: State) -> None:
    index = sharded(state)
    places = json.loads(index.read_text())["weight_map"]

    def refused(said: str, **document: Any) -> None:
        index.write_text(json.dumps(document))
        with pytest.raises(ModelError, match=said) as caught:
            read(index)
        assert "\n" not in str(caught.value)

    refused("is no index of weights", metadata={})
    refused("is no index of weights", weight_map=3)
    for place in ("../w.safetensors", "/etc/w.safetensors", index.name):
        refused("which is no weights file beside it", weight_map={"head.weight": place})
    refused(
        "names 1 tensors that no file has .strange",
        weight_map={**places, "strange": "model-00001-of-00002.safetensors"},
    )
    Path("model-00002-of-00002.safetensors").unlink()
    refused("there is no weights file model-00002", weight_map=places)
    with pytest.raises(ModelError, match=r"is a folder: give .* its .index.json file"):
        read(Path())


WRONG: dict[str, tuple[Callable[[State], Any], str]] = {
    "one is missing": (
        lambda s: prefixed("module.")({n: t for n, t in s.items() if n != "head.bias"}),
        r"for another network: 1 missing \(head.bias\)$",
    ),
    "one is unknown": (
        lambda s: {**s, "loss.weight": torch.ones(3)},
        r"for another network: 1 unknown \(loss.weight\)$",
    ),
    "another shape": (
        lambda s: {**s, "head.weight": torch.ones(9, 4)},
        r"1 of another shape or type \(head.weight\)$",
    ),
    "codes": (
        lambda s: {**s, "head.weight": torch.ones(5, 4, dtype=torch.int8)},
        r"1 of another shape or type \(head.weight\)$",
    ),
    "twice the same name": (
        lambda s: {**s, **prefixed("model.")({"head.bias": s["head.bias"] + 1})},
        r"1 unknown \(model.head.bias\)",
    ),
    "a number": (
        lambda s: {**s, "step": 3},
        "holds no state dict of tensors: 'step' is of type int",
    ),
    "nothing": (lambda _: {}, "holds no state dict of tensors"),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_wrong_files_are_refused_by_what_does_not_fit(state: State, wrong: str) -> None:
    make, said = WRONG[wrong]
    torch.save(make(state), "w.pth")
    with pytest.raises(ModelError, match=said) as caught:
        read(Path("w.pth"))
    assert "\n" not in str(caught.value)


def test_tied_weights_are_written_once(tmp_path: Path) -> None:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embedding, self.head = nn.Embedding(5, 4), nn.Linear(4, 5, bias=False)
            self.head.weight = self.embedding.weight

    path = tmp_path / "w.safetensors"
    save_file({"embedding.weight": torch.ones(5, 4)}, path)
    module = Tied()
    load_state(module, read_state(path), path)
    assert torch.equal(module.head.weight, torch.ones(5, 4))


def test_old_weight_norm_into_the_new(tmp_path: Path) -> None:
    path = tmp_path / "w.pth"
    state = {"weight_g": torch.ones(3, 1), "weight_v": torch.randn(3, 2), "bias": torch.ones(3)}
    torch.save(state, path)
    module = nn.utils.parametrizations.weight_norm(nn.Linear(2, 3))
    load_state(module, read_state(path), path)
    wanted = state["weight_v"] / state["weight_v"].norm(dim=1, keepdim=True)
    torch.testing.assert_close(module.weight.detach(), wanted)


def test_lazy_layers_take_their_shapes_from_the_file(tmp_path: Path) -> None:
    path = tmp_path / "w.pth"
    torch.save(nn.Conv2d(3, 4, 3).state_dict(), path)
    module = nn.LazyConv2d(4, 3)
    load_state(module, read_state(path), path)
    assert module.weight.shape == (4, 3, 3, 3)


def test_a_network_that_is_made_without_numbers(state: State, tmp_path: Path) -> None:
    """As large ones are, so that nobody draws weights that a file brings."""
    more = "def shapes():\n    with torch.device('meta'):\n        return Net().eval()\n"
    (tmp_path / "shapes_alone.py").write_text(f"{NETS}\n{more}")
    save_file(state, tmp_path / "w.safetensors")
    network = load_network("shapes_alone:shapes", weights=tmp_path / "w.safetensors")
    np.testing.assert_array_equal(network.weights("head")[0], state["head.weight"].numpy())
    with pytest.raises(ModelError, match=r"device meta\): .*load its weights"):
        load_network("shapes_alone:shapes")
