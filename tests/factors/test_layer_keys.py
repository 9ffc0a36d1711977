"""What names factors in the cache tells layers apart."""

from __future__ import annotations

from pathlib import Path

import torch

from rankwise.factors.array_cache import ArrayCache
from rankwise.factors.assembly import Assembly
from rankwise.models.source import network_of_module
from rankwise.records import Decomposition


def test_equal_bytes_of_two_shapes_are_two_layers(tmp_path: Path) -> None:
    """Constant weights, as public topologies without weights have them."""
    first, second = (torch.nn.Conv2d(inputs, 24 - inputs, 1, bias=False) for inputs in (8, 16))
    for part in (first, second):
        torch.nn.init.constant_(part.weight, 0.1)
    network = network_of_module(torch.nn.Sequential(first, second), (1, 8, 4, 4))
    wanted = {name: Decomposition("svd", (4,)) for name in ("0", "1")}
    for _ in ("made", "read again"):
        assembly = Assembly(network, cache=ArrayCache(tmp_path))
        assembly.network_with(wanted)
        for chain, weights in assembly.replacements(wanted).values():
            assert [one.weight.shape for one in weights] == [
                one.weight_shape for one in chain.links
            ]
