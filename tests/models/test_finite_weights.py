"""Weights that are not numbers are named when a network is read, by layer."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

from rankwise.errors import ModelError
from rankwise.models.source import load_network, network_of_module
from rankwise.models.torch_network import TorchNetwork

SHAPE = (1, 3, 8, 8)


def broken(what: str, value: float) -> nn.Module:
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 5, 3))
    with torch.no_grad():
        getattr(module[2], what)[0] = value
    return module.eval()


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
@pytest.mark.parametrize(("what", "count"), [("weight", "36 of 180"), ("bias", "1 of 5")])
def test_the_layer_is_named(tmp_path: Path, what: str, count: str, value: float) -> None:
    module = broken(what, value)
    with pytest.raises(ModelError, match=f"{count} numbers in the {what} of layer '2' are not"):
        network_of_module(module, SHAPE)
    file = tmp_path / "broken.onnx"
    TorchNetwork.of(module, "broken", SHAPE).to_onnx(file)
    with pytest.raises(ModelError, match=f"{count} numbers in the {what} of layer"):
        load_network(file)


def test_large_numbers_are_finite() -> None:
    assert len(network_of_module(broken("weight", 3e38), SHAPE).layers) == 2
