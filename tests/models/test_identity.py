"""The hash of a torch network: other wherever it computes something else, equal everywhere else."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Sequence

import pytest
import torch
from torch import Tensor, fx, nn

from rankwise.errors import ModelError
from rankwise.models.network import known_as
from rankwise.models.source import load_network, network_of_module
from rankwise.models.torch_network import TorchNetwork

SHAPE = (2, 3, 8, 8)

MODULE = '''
import torch
from torch import nn

SCALE = 2.0

def helper(x):
    return x * SCALE

class Inner(nn.Module):
    def forward(self, x):
        return helper(x)

class Net(nn.Module):
    """Says nothing."""

    factor = 3

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.conv = nn.Conv2d(3, 4, 3)
        self.inner = Inner()
        self.act = lambda x: x.relu()
        self.where = __file__
        self.kinds = {"a", "b", "c", "d"}
        self.table = {key: (1, key) for key in self.kinds}

    def forward(self, x):
        # a comment
        return self.act(self.inner(self.conv(x))) * self.factor

input_shape = (2, 3, 8, 8)
'''


READ = """
import sys
from rankwise.models.source import load_network

for folder in sys.argv[1:]:
    sys.modules.pop("netfile", None)
    sys.path.insert(0, folder)
    print(load_network("netfile:Net").sha256)
    sys.path.pop(0)
"""
Change = tuple[str, str]
CODE_CHANGES = {
    "a value of the module": ("SCALE = 2.0", "SCALE = 2.5"),
    "a function": ("return x * SCALE", "return x + SCALE"),
    "a nameless function": ("x.relu()", "x.tanh()"),
}


@pytest.fixture(scope="module")
def hashes_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., list[str]]:
    """The hashes of the module above after each list of changes, in a process of its own."""

    def hashes_in_a_process(*texts: Sequence[Change], seed: int, threads: int) -> list[str]:
        folders = [tmp_path_factory.mktemp("place") for _ in texts]
        for folder, changes in zip(folders, texts, strict=True):
            text = MODULE
            for before, after in changes:
                assert before in text
                text = text.replace(before, after)
            (folder / "netfile.py").write_text(text)
        environment = {
            **os.environ,
            "PYTHONHASHSEED": str(seed),
            "OMP_NUM_THREADS": str(threads),
        }
        command = [sys.executable, "-P", "-c", READ, *map(str, folders)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        return done.stdout.split()

    return hashes_in_a_process


@pytest.fixture(scope="module")
def hashes(hashes_of: Callable[..., list[str]]) -> dict[str, str]:
    """Of the module as it stands above, and after each of the changes."""
    texts = {"as it is": [], **{name: [change] for name, change in CODE_CHANGES.items()}}
    return dict(zip(texts, hashes_of(*texts.values(), seed=0, threads=1), strict=True))


@pytest.mark.slow
def test_equal_in_every_process_and_place(hashes_of, hashes):
    """Whatever the folder, the order of sets, the threads, comments and lay-out."""
    texts = [
        ("# a comment", "# another\n\n        # comment"),
        ('"""Says nothing."""', '"""Says much."""'),
        ("return x * SCALE", "return (x  *  SCALE)"),
    ]
    assert len(hashes["as it is"]) == 64
    assert hashes_of(texts, seed=1, threads=2) == [hashes["as it is"]]


@pytest.mark.parametrize("change", CODE_CHANGES)
def test_code_that_is_called_counts(hashes, change):
    assert hashes["as it is"] != hashes[change]


class Plain(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            self.conv = nn.Conv2d(3, 4, 3)
        self.register_buffer("grid", torch.ones(4, 1, 1), persistent=False)
        self.scale, self.mode = 1.0, "sum"
        self.shifts = [1, 2]
        self.offset = torch.zeros(4, 1, 1)
        self.beside = [nn.Conv2d(4, 4, 1)]
        nn.init.constant_(self.beside[0].weight, 0.1)
        nn.init.constant_(self.beside[0].bias, 0.1)
        self.seen, self.kept = 0, None

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(x) * self.grid * self.scale + self.offset
        self.seen += 1
        self.kept = y.detach()  # what debugging looks at
        return self.beside[0](y)


def set_buffer(module: nn.Module) -> None:
    module.grid *= 2


def hook(_module: nn.Module, _args: object, output: Tensor) -> Tensor:
    return output * 2


CHANGES: dict[str, Callable[[nn.Module], object]] = {
    "a buffer that is not saved": set_buffer,
    "a number": lambda m: setattr(m, "scale", 1.5),
    "a text": lambda m: setattr(m, "mode", "mean"),
    "a list": lambda m: m.shifts.append(3),
    "a tensor": lambda m: setattr(m, "offset", torch.ones(4, 1, 1)),
    "a module that is no part": lambda m: m.beside[0].weight.data.mul_(2),
    "a forward of its own": lambda m: setattr(m, "forward", m.conv.forward),
    "a hook": lambda m: m.conv.register_forward_hook(hook),
    "another class": lambda m: setattr(m, "__class__", type("Plain", (Plain,), {"extra": 1})),
}


@pytest.mark.parametrize("what", CHANGES)
def test_what_it_computes_with_counts(what):
    """Networks that differ so had the same hash, and shared errors and timings."""
    module = Plain()
    before = network_of_module(module, SHAPE)
    CHANGES[what](module)
    after = network_of_module(module, SHAPE)
    assert before.sha256 != after.sha256
    assert before.earlier_sha256 == after.earlier_sha256


def test_what_it_keeps_of_calls_does_not_count():
    module = Plain()
    before = network_of_module(module, SHAPE).sha256
    module(torch.ones(SHAPE))
    network = network_of_module(module, SHAPE)
    network.outputs(torch.randn(SHAPE).numpy())
    assert network.sha256 == before
    assert network_of_module(Plain(), SHAPE).sha256 == before


SETTINGS = [
    lambda ceil: nn.AvgPool2d(3, 2, ceil_mode=ceil),
    lambda first: nn.TransformerEncoderLayer(8, 2, 8, norm_first=first),
    lambda two: nn.MultiheadAttention(8, 2 if two else 4),
    lambda gelu: nn.TransformerEncoderLayer(8, 2, 8, activation="gelu" if gelu else "relu"),
]


@pytest.mark.parametrize("make", SETTINGS)
def test_settings_that_torch_does_not_print_count(make):
    def hash_of(setting: bool) -> str:
        with torch.random.fork_rng():
            torch.manual_seed(0)
            return TorchNetwork(make(setting), "module", (1, 8, 8)).sha256

    assert hash_of(True) == hash_of(True)
    assert hash_of(True) != hash_of(False)


def test_a_traced_graph_is_its_code():
    class Twice(nn.Module):
        def __init__(self, add: bool) -> None:
            super().__init__()
            self.add = add

        def forward(self, x: Tensor) -> Tensor:
            return x + x if self.add else x * x

    one, two = (TorchNetwork(fx.symbolic_trace(Twice(add)), "m", SHAPE) for add in (True, False))
    assert one.earlier_sha256 == two.earlier_sha256
    assert one.sha256 != two.sha256


def test_the_zoo_keeps_its_hashes():
    """Plans and stores name them, and no code of theirs is anybody else's."""
    network = load_network("mobilenet_v2")
    assert network.sha256 == network.earlier_sha256


def test_known_by_both_hashes():
    network = network_of_module(Plain(), SHAPE)
    assert known_as(network, network.sha256) is network
    earlier = known_as(network, network.earlier_sha256)
    assert earlier.sha256 == network.earlier_sha256
    assert earlier.layers == network.layers
    with pytest.raises(ModelError, match="another network"):
        known_as(network, "0" * 64)


DRAWING = """
import random
import numpy as np
import torch
from torch import nn

at_import = float(np.random.rand()) + random.random() + float(torch.rand(1))

def net():
    module = nn.Conv2d(3, 4, 3)
    with torch.no_grad():
        module.weight += float(np.random.rand()) + random.random() + at_import
    return module

input_shape = (2, 3, 8, 8)
"""


def test_whatever_draws_its_weights_draws_the_same(tmp_path, monkeypatch):
    (tmp_path / "drawing.py").write_text(DRAWING)
    hashes = set()
    for _ in range(2):
        monkeypatch.delitem(sys.modules, "drawing", raising=False)
        hashes.add(load_network("drawing:net").sha256)
    assert len(hashes) == 1


LAZY = {
    "convolution": lambda: [nn.LazyConv2d(4, 3), nn.LazyBatchNorm2d(), nn.LazyBatchNorm2d()],
    "instance norm": lambda: [
        nn.LazyInstanceNorm2d(affine=True, track_running_stats=True),
        nn.Flatten(),
        nn.LazyLinear(3),
    ],
    "transposed": lambda: [nn.LazyConvTranspose2d(4, 3), nn.LazyBatchNorm2d(affine=False)],
}


@pytest.mark.parametrize("kind", LAZY)
def test_lazy_modules_are_copied_and_stay_lazy(kind):
    module = nn.Sequential(*LAZY[kind]())
    first, second = (network_of_module(module, SHAPE) for _ in range(2))
    assert first.sha256 == second.sha256
    lazy = [*module.parameters(), *module.buffers()]
    assert any(nn.parameter.is_lazy(one) for one in lazy)
    module(torch.zeros(SHAPE))  # the given module still makes its own
