"""What `apply` writes as `.safetensors` becomes a module again, with rankwise and without."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import onnxruntime
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

import rankwise as rw
from rankwise.errors import ModelError
from rankwise.lowrank import applicable_kinds, factor, full_ranks, lower
from rankwise.models.source import network_of_module
from rankwise.models.torch_network import TorchNetwork
from rankwise.records import Decomposition

PAGE = Path(__file__).resolve().parents[2] / "docs" / "networks.md"
LOADER = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)[0]
SHAPE = (2, 4, 10, 8)


class Net(nn.Module):
    """A layer twice under two names, odd padding, strides, groups, a layer that stays, no bias."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(4, 8, (3, 2), stride=(2, 1), padding=(1, 1))
        self.body = nn.Sequential(nn.Conv2d(8, 8, 2, padding="same", bias=False), nn.BatchNorm2d(8))
        self.again = self.body[0]
        self.head, self.tail = nn.Linear(8, 6, bias=False), nn.Linear(6, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.again(self.body(self.stem(x)).relu())
        return self.tail(self.head(x.mean((2, 3))))


def network(module: nn.Module, shape: tuple[int, ...] = SHAPE) -> TorchNetwork:
    found = network_of_module(module.eval(), shape)
    assert isinstance(found, TorchNetwork)
    return found


def every_kind(net: TorchNetwork) -> list[TorchNetwork]:
    """The network with half of the ranks, by every kind that applies to some layer."""
    made: dict[str, dict[str, Any]] = {}
    for use in net.layers:
        for kind in applicable_kinds(use.spec)[0] if use.spec and use.name != "tail" else []:
            ranks = tuple(max(1, rank // 2) for rank in full_ranks(use.spec, kind))
            one = Decomposition(kind, ranks)
            made.setdefault(kind, {})[use.name] = (
                lower(use.spec, one),
                factor(use.spec, one, *net.weights(use.name)),
            )
    return [net.replaced(one) for one in made.values()]


def written(module: nn.Module, folder: Path) -> Path:
    return every_kind(network(module))[0].save(folder / "w.safetensors")


@pytest.fixture(scope="module")
def page_loader() -> Any:
    place: dict[str, Any] = {}
    exec(LOADER, place)
    return place["load"]


@pytest.mark.filterwarnings("ignore:Using padding='same':UserWarning")
def test_both_loaders_give_what_was_written(tmp_path: Path, page_loader: Any) -> None:
    torch.manual_seed(0)
    inputs = torch.randn(*SHAPE)
    smaller = every_kind(network(Net()))
    assert len(smaller) >= 5
    for number, one in enumerate(smaller):
        path = one.save(tmp_path / f"{number}.safetensors")
        with torch.no_grad():
            wanted = one.module(inputs)
            fresh = Net().eval()
            torch.testing.assert_close(rw.load(path, fresh)(inputs), wanted, rtol=0, atol=0)
            torch.testing.assert_close(page_loader(path, fresh)(inputs), wanted, rtol=0, atol=0)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Using padding='same':UserWarning")
@pytest.mark.parametrize("suffix", [".pt2", ".onnx"])
def test_every_kind_is_written_in_every_form(tmp_path: Path, suffix: str) -> None:
    inputs = torch.randn(*SHAPE)
    for number, one in enumerate(every_kind(network(Net()))):
        path = one.save(tmp_path / f"{number}{suffix}")
        with torch.no_grad():
            wanted = one.module(inputs)
        if suffix == ".pt2":
            found = torch.export.load(path).module()(inputs)
        else:
            session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
            found = torch.from_numpy(session.run(None, {"input": inputs.numpy()})[0])
        torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)


def test_the_pages_loader_is_ten_lines_and_needs_no_rankwise(tmp_path: Path) -> None:
    body = LOADER[LOADER.index("def load") :].strip().splitlines()
    assert len(body) == 10
    path = every_kind(network(nn.Sequential(nn.Conv2d(4, 8, 3))))[0].save(
        tmp_path / "w.safetensors"
    )
    code = LOADER + (
        "import sys\nnet = nn.Sequential(nn.Conv2d(4, 8, 3))\n"
        f"print(len(load({str(path)!r}, net)[0]), 'rankwise' in sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stdout.split()[1:] == ["False"], done.stderr
    assert int(done.stdout.split()[0]) > 1


def test_apply_and_load(tmp_path: Path) -> None:
    def own() -> nn.Module:
        torch.manual_seed(3)
        return nn.Sequential(nn.Conv2d(3, 64, 1), nn.ReLU(), nn.Conv2d(64, 64, 3)).eval()

    example, db = torch.randn(1, 3, 12, 12), f"sqlite:///{tmp_path}/store.db"
    rw.profile(own(), example, backend="fake:step=16", db=db)
    plan = rw.plan(own(), example, backend="fake:step=16", db=db, max_error=0.9, trials=5)
    path = tmp_path / "smaller.safetensors"
    smaller = rw.apply(plan, own(), example, db=db, output=path)
    assert plan.decisions
    given = nn.DataParallel(own().train())
    loaded = rw.load(path, given)
    assert type(loaded) is nn.Sequential
    assert loaded.training
    torch.testing.assert_close(loaded.eval()(example), smaller(example))
    assert not any(type(part).__name__ == "ReplacedLayer" for part in given.modules())


def test_layers_are_asked_and_half_precision_stays(tmp_path: Path) -> None:
    path = every_kind(network(nn.Sequential(nn.Conv2d(4, 8, 3))))[0].save(
        tmp_path / "w.safetensors"
    )
    loaded = rw.load(path, nn.Sequential(nn.Conv2d(4, 8, 3)).half())
    assert loaded[0].out_channels == 8
    assert {one.dtype for one in loaded.parameters()} == {torch.float16}


def test_a_network_that_is_one_layer(tmp_path: Path) -> None:
    (smaller, *_) = every_kind(network(nn.Conv2d(4, 8, 3)))
    path = smaller.save(tmp_path / "w.safetensors")
    inputs = torch.randn(*SHAPE)
    torch.testing.assert_close(rw.load(path, nn.Conv2d(4, 8, 3))(inputs), smaller.module(inputs))


def test_files_that_do_not_fit(tmp_path: Path) -> None:
    path = every_kind(network(nn.Sequential(nn.Conv2d(4, 8, 3))))[0].save(
        tmp_path / "w.safetensors"
    )
    odd_path = tmp_path / "odd.safetensors"
    refused = {
        "are for another network": (path, nn.Conv2d(4, 8, 3)),
        r"layer '0' is .4, 8. wide there, and .4, 9. here": (
            path,
            nn.Sequential(nn.Conv2d(4, 9, 3)),
        ),
        "is no safetensors file": (tmp_path / "text.safetensors", nn.Conv2d(4, 8, 3)),
        "no safetensors file: No such file": (tmp_path / "gone.safetensors", nn.Conv2d(4, 8, 3)),
        r"unexpected keyword argument 'strange'": (
            tmp_path / "odd.safetensors",
            nn.Conv2d(4, 8, 3),
        ),
    }
    (tmp_path / "text.safetensors").write_text("hello")
    odd = {"chains": json.dumps({"": [["Conv2d", {"strange": 1}]]})}
    save_file({"weight": torch.ones(1)}, odd_path, metadata=odd)
    for said, (file, module) in refused.items():
        with pytest.raises(ModelError, match=said) as caught:
            rw.load(file, module)
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("projection", ["self_attn.in_proj", "self_attn.out_proj"])
def test_projections_of_attention_are_loaded(tmp_path: Path, projection: str) -> None:
    torch.manual_seed(0)
    module = nn.TransformerEncoderLayer(16, 2, 32, batch_first=True).eval()
    inputs = torch.randn(2, 5, 16)
    net = network(module, (2, 5, 16))
    spec = next(use.spec for use in net.layers if use.name == projection)
    assert spec is not None
    one = Decomposition("svd", (4,))
    chain = lower(spec, one), factor(spec, one, *net.weights(projection))
    smaller = net.replaced({projection: chain})
    path = smaller.save(tmp_path / "w.safetensors")
    with torch.no_grad():
        wanted, found = smaller.module(inputs), rw.load(path, module)(inputs)
    torch.testing.assert_close(found, wanted)
    assert not torch.allclose(found, module(inputs), atol=1e-4)


def test_hooks_of_a_layer_are_those_of_its_chain(tmp_path: Path) -> None:
    module = nn.Sequential(nn.Linear(6, 6))
    module[0].register_forward_hook(lambda _layer, _given, output: 2 * output)
    module[0].register_forward_pre_hook(lambda _layer, given: (given[0] + 1,))
    (smaller,) = every_kind(network(module, (2, 6)))
    inputs = torch.randn(2, 6)
    file = smaller.save(tmp_path / "w.safetensors")
    torch.testing.assert_close(rw.load(file, module)(inputs), smaller.module(inputs))
