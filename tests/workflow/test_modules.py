"""A module in Python: whatever stands around it, what comes back is one of the user's own class."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import rankwise as rw
from rankwise.documents import Plan
from rankwise.errors import ModelError
from rankwise.models.network import only
from rankwise.models.source import load_network, network_of_module

from ..small_network import Small, small_network

FAKE = "fake:step=16"
EXAMPLE = torch.linspace(-1, 1, 3 * 16 * 16).reshape(1, 3, 16, 16)


class Own(Small):
    """With a method and an attribute that only this class has."""

    scale = 1.0

    def classify(self, x: Tensor) -> int:
        return int(self(x).argmax())


def own() -> Own:
    net = Own()
    net.load_state_dict(small_network().state_dict())
    return net.eval()


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Plan]:
    db = f"sqlite:///{tmp_path_factory.mktemp('home')}/store.db"
    rw.profile(own(), EXAMPLE, backend=FAKE, db=db)
    plan = rw.plan(own(), EXAMPLE, backend=FAKE, db=db, max_error=0.4, trials=5)
    assert plan.decisions
    return db, plan


def test_what_apply_returns_is_called_as_before(home: tuple[str, Plan]) -> None:
    db, plan = home
    net = own()
    smaller = rw.apply(plan, net, EXAMPLE, db=db)
    assert type(smaller) is Own
    assert not smaller.training
    with torch.no_grad():
        answers, before = smaller(EXAMPLE), net(EXAMPLE)
    assert 0 < (answers - before).norm() / before.norm() < 0.6
    assert smaller.classify(EXAMPLE) in range(10)
    assert sum(p.numel() for p in smaller.parameters()) < sum(p.numel() for p in net.parameters())
    names = set(plan.decisions)
    assert {
        n for n, p in smaller.named_children() if type(p) is not type(net.get_submodule(n))
    } == names
    assert all(p.requires_grad for p in smaller.parameters())
    smaller(torch.ones(3, 3, 16, 16)).sum().backward()


def test_its_parts_train_where_the_users_do(home: tuple[str, Plan]) -> None:
    db, plan = home
    net = own().train()
    name = next(iter(plan.decisions))
    net.get_submodule(name).eval().requires_grad_(False)
    smaller = rw.apply(plan, net, EXAMPLE, db=db)
    assert smaller.training
    chain = smaller.get_submodule(name)
    assert not any(part.training for part in chain.modules())
    assert not any(p.requires_grad for p in chain.parameters())


AROUND: dict[str, Callable[[nn.Module], nn.Module]] = {
    "torch.compile": torch.compile,
    "DataParallel": nn.DataParallel,
    "compiled DataParallel": lambda net: torch.compile(nn.DataParallel(net)),
    "averaged": torch.optim.swa_utils.AveragedModel,
}


@pytest.mark.parametrize("around", AROUND)
def test_wrappers_are_taken_off(home: tuple[str, Plan], around: str) -> None:
    db, plan = home
    wrapped = AROUND[around](own())
    names = [use.name for use in network_of_module(wrapped, EXAMPLE).layers]
    assert names == ["stem", "body", "point", "head"]
    smaller = rw.apply(plan, wrapped, EXAMPLE, db=db)
    assert type(smaller) is Own
    torch.testing.assert_close(smaller(EXAMPLE), rw.apply(plan, own(), EXAMPLE, db=db)(EXAMPLE))


def test_wrappers_of_parts_are_taken_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parts = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3)
    net = nn.Sequential(nn.DataParallel(parts[0]), torch.compile(parts[1]))
    network = network_of_module(net.eval(), (1, 3, 8, 8))
    assert [use.name for use in network.layers] == ["0", "1"]
    assert type(net[0]) is nn.DataParallel  # the user's own stays
    given = torch.randn(1, 3, 8, 8)
    torch.testing.assert_close(
        torch.tensor(only(network.outputs(given.numpy()))), parts[1](parts[0](given))
    )
    (tmp_path / "wrapped_nets.py").write_text(
        "import torch\nnet = torch.compile(torch.nn.Conv2d(3, 4, 3))\n"
    )
    monkeypatch.chdir(tmp_path)
    named = load_network("wrapped_nets:net", input_shape=(1, 3, 8, 8))
    assert [use.name for use in named.layers] == [""]


def scripted(net: nn.Module) -> nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.jit.script(net)


def traced(net: nn.Module) -> nn.Module:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return torch.jit.trace(net, EXAMPLE)


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (scripted, "the network is a torch ScriptModule, whose layers cannot be seen"),
        (traced, "the network is a torch ScriptModule"),
        (lambda net: nn.DataParallel(scripted(net)), "the network is a torch ScriptModule"),
        (lambda net: nn.Sequential(scripted(net)), "its part '0' is a torch ScriptModule"),
        (
            lambda net: torch.export.export(net, (EXAMPLE,)),
            "the network is a torch ExportedProgram, in which layers are no modules any more",
        ),
    ],
)
def test_others_are_refused_by_name(make: Callable[[nn.Module], nn.Module], said: str) -> None:
    with pytest.raises(ModelError, match=said) as caught:
        network_of_module(make(own()), EXAMPLE)
    assert "give the torch.nn.Module that it was made from" in str(caught.value)


def test_a_graph_of_torch_fx_is_a_module_like_any_other(home: tuple[str, Plan]) -> None:
    graph = torch.fx.symbolic_trace(own())
    network = network_of_module(graph, EXAMPLE)
    assert all(use.spec for use in network.layers)
    plan = rw.profile(graph, EXAMPLE, backend=FAKE, db=home[0], max_time_s=0.01)
    assert plan.model.input_shape == (1, 3, 16, 16)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_read_in_float32_and_given_back(
    home: tuple[str, Plan], dtype: torch.dtype
) -> None:
    db, _ = home
    half = own().to(dtype)
    network = network_of_module(half, EXAMPLE)
    assert all(use.spec for use in network.layers)
    name = str(dtype).removeprefix("torch.")
    assert network.loading_notes == (f"its weights are {name} and were read in float32",)
    rw.profile(half, EXAMPLE, backend=FAKE, db=db)
    plan = rw.plan(half, EXAMPLE, backend=FAKE, db=db, max_error=0.4, trials=5)
    assert plan.decisions
    assert plan.model.notes == list(network.loading_notes)
    smaller = rw.apply(plan, half, EXAMPLE, db=db)
    assert {one.dtype for one in smaller.parameters()} == {dtype}
    with torch.no_grad():
        answers, before = smaller(EXAMPLE.to(dtype)).float(), half(EXAMPLE.to(dtype)).float()
    assert answers.dtype == torch.float32
    assert (answers - before).norm() / before.norm() < 0.6
    assert all(one.dtype == dtype for one in half.parameters())
