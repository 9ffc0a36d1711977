"""A chain as plain torch modules."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from ..errors import LayerError
from ..records import LayerSpec
from .chain import Chain, LinkWeights


def to_torch(chain: Chain, weights: Sequence[LinkWeights]) -> nn.Sequential:
    """The chain as `nn.Conv2d` / `nn.Linear` modules in a row, in eval mode.

    One weight for each link, with its `weight_shape`. Padding that differs between opposite
    sides becomes an `nn.ZeroPad2d` of its own, because `nn.Conv2d` knows only equal ones.
    """
    if len(weights) != len(chain.links):
        raise LayerError(f"{len(chain.links)} links need as many weights, not {len(weights)}")
    modules: list[nn.Module] = []
    for link, one in zip(chain.links, weights, strict=True):
        modules += _padding(link)
        modules.append(_filled(_layer(link), link, one))
    return nn.Sequential(*modules).eval()


def _is_symmetric(link: LayerSpec) -> bool:
    top, left, bottom, right = link.padding
    return (top, left) == (bottom, right)


def _padding(link: LayerSpec) -> list[nn.Module]:
    if link.op == "linear" or _is_symmetric(link):
        return []
    top, left, bottom, right = link.padding
    return [nn.ZeroPad2d((left, right, top, bottom))]


def _layer(link: LayerSpec) -> nn.Conv2d | nn.Linear:
    dtype = getattr(torch, link.dtype)
    if link.op == "linear":
        return nn.Linear(link.in_channels, link.out_channels, bias=link.bias, dtype=dtype)
    return nn.Conv2d(
        link.in_channels,
        link.out_channels,
        link.kernel_size,
        stride=link.stride,
        padding=link.padding[:2] if _is_symmetric(link) else 0,
        dilation=link.dilation,
        groups=link.groups,
        bias=link.bias,
        dtype=dtype,
    )


def _filled(layer: Any, link: LayerSpec, weights: LinkWeights) -> nn.Module:
    """`layer` with these weights; `LayerError` if they do not have the link's shape."""
    if tuple(weights.weight.shape) != link.weight_shape:
        raise LayerError(f"a link needs a weight {link.weight_shape}, not {weights.weight.shape}")
    if (weights.bias is not None) != link.bias:
        raise LayerError("a link's bias and its weights' bias must both be there, or neither")
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(weights.weight))
        if weights.bias is not None:
            layer.bias.copy_(torch.from_numpy(weights.bias))
    return layer  # type: ignore[no-any-return]
