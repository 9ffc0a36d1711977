"""`--dynamic-batch`: on by default; open where the network answers at other batches, else fixed."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import torch
from torch import Tensor, nn

import rankwise as rw
from rankwise.models.network import Network
from rankwise.models.saving import save_network
from rankwise.models.source import load_network, network_of_module
from rankwise.reporter import Silent

from ..small_network import small_network

FAKE = "fake:step=16"
SHAPE = (1, 3, 16, 16)


class Told(Silent):
    def __init__(self) -> None:
        self.said: list[str] = []

    def message(self, *texts: object, **_: object) -> None:
        self.said.append(str(texts[0]))


class Fixed(nn.Module):
    """Writes the batch of its first call into its answer's shape, or refuses others."""

    def __init__(self, how: str) -> None:
        super().__init__()
        self.conv, self.how = nn.Conv2d(3, 4, 3), how
        self.register_buffer("places", torch.arange(2.0).reshape(2, 1, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        if self.how == "refuses" and len(x) != 2:
            raise ValueError("two at a time")
        x = self.conv(x)
        return x + self.places if self.how == "adds" else x.reshape(2, -1)


def answers(path: Path, inputs: np.ndarray) -> np.ndarray:
    if path.suffix == ".pt2":
        return torch.export.load(path).module()(torch.from_numpy(inputs)).detach().numpy()
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    (found,) = session.run(None, {session.get_inputs()[0].name: inputs})
    return found


@pytest.fixture
def noise() -> Callable[..., np.ndarray]:
    return lambda *shape: np.random.default_rng(7).standard_normal(shape).astype(np.float32)


@pytest.mark.parametrize("suffix", [".onnx", ".pt2"])
def test_apply_leaves_the_batch_open_unless_told(tmp_path: Path, noise: Any, suffix: str) -> None:
    db, example = f"sqlite:///{tmp_path}/store.db", torch.zeros(SHAPE)
    net = small_network()
    rw.profile(net, example, backend=FAKE, db=db)
    plan = rw.plan(net, example, backend=FAKE, db=db, max_error=0.4, trials=5)
    assert plan.decisions
    path, told = tmp_path / f"small{suffix}", Told()
    smaller = rw.apply(plan, net, example, db=db, output=path, reporter=told)
    assert told.said == []
    for batch in (1, 2, 5):
        inputs = noise(batch, *SHAPE[1:])
        wanted = smaller(torch.from_numpy(inputs)).detach().numpy()
        np.testing.assert_allclose(answers(path, inputs), wanted, rtol=1e-3, atol=1e-4)
    rw.apply(plan, net, example, db=db, output=path, dynamic_batch=False, reporter=told)
    assert told.said == []
    assert answers(path, noise(*SHAPE)).shape == (1, 10)
    with pytest.raises(Exception, match=r"(?i)batch|dimension|guard"):
        answers(path, noise(5, *SHAPE[1:]))


def saved(network: Network, path: Path) -> list[str]:
    told = Told()
    save_network(network, path, True, told)
    return told.said


@pytest.mark.parametrize("suffix", [".onnx", ".pt2"])
@pytest.mark.parametrize(
    ("how", "why"),
    [
        ("refuses", r"does not run on an input of shape .3.*two at a time|cannot express"),
        ("adds", "cannot express this network|does not run on an input of shape .3"),
        ("reshapes", "does not run on an input|answers otherwise at a batch of 3|cannot express"),
    ],
)
def test_else_the_batch_is_the_networks_own(
    tmp_path: Path, noise: Any, how: str, why: str, suffix: str
) -> None:
    network = network_of_module(Fixed(how).eval(), (2, 3, 8, 8))
    path, inputs = tmp_path / f"net{suffix}", noise(2, 3, 8, 8)
    said = saved(network, path)
    if how != "reshapes" or said:  # a reshape may be written for every batch that fits
        assert len(said) == 1
        assert said[0].startswith(f"net{suffix} is written with a fixed batch of 2: ")
        assert re.search(why, said[0]), said
        assert "\n" not in said[0]
    wanted = network.module(torch.from_numpy(inputs)).detach().numpy()  # type: ignore[attr-defined]
    np.testing.assert_allclose(answers(path, inputs), wanted, rtol=1e-4, atol=1e-5)


def test_a_wrong_export_is_seen_at_another_batch(
    tmp_path: Path, noise: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As if the exporter had frozen what depends on the batch."""
    network = network_of_module(nn.Sequential(nn.Conv2d(3, 4, 3)).eval(), (1, 3, 8, 8))
    from rankwise.models import open_batch

    real = open_batch.export_onnx

    def wrong(module: nn.Module, *args: Any, **given: Any) -> Path:
        class Frozen(nn.Module):
            def __init__(self) -> None:
                super().__init__()
                self.inner = module

            def forward(self, x: Tensor) -> Tensor:
                return self.inner(x) * (1 + (x.shape[0] == 2))

        return real(Frozen(), *args, **given)

    monkeypatch.setattr(open_batch, "export_onnx", wrong)
    (said,) = saved(network, tmp_path / "net.onnx")
    assert said.startswith("net.onnx is written with a fixed batch of 1: ")
    inputs = noise(1, 3, 8, 8)
    wanted = network.module(torch.from_numpy(inputs)).detach().numpy()  # type: ignore[attr-defined]
    np.testing.assert_allclose(answers(tmp_path / "net.onnx", inputs), wanted, rtol=1e-4, atol=1e-5)


def test_a_files_own_batch_stays_as_it_is(network_file: Path, tmp_path: Path, noise: Any) -> None:
    network = load_network(network_file)
    assert saved(network, tmp_path / "net.onnx") == []
    with pytest.raises(Exception, match=r"(?i)dimension"):
        answers(tmp_path / "net.onnx", noise(3, *SHAPE[1:]))
    assert saved(network, tmp_path / "net.safetensors") == []


@pytest.mark.parametrize("verb", ["apply", "recover", "finetune"])
def test_every_verb_that_writes_has_the_option(verb: str, rankwise: Callable[..., Any]) -> None:
    assert inspect.signature(getattr(rw, verb)).parameters["dynamic_batch"].default is True
    assert "--no-dynamic-batch" in rankwise(verb, "--help").output
