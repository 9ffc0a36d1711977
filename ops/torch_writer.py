"""A chain as plain torch modules."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from ..records import LayerSpec
from .chain import Chain, LinkWeights, require_weights


def to_torch(chain: Chain, weights: Sequence[LinkWeights]) -> nn.Sequential:
    """The chain as `nn.Conv2d` / `nn.Linear` modules in a row, in eval mode.

    One weight for each link, with its `weight_shape`; else `LayerError`. Padding that differs
    between opposite sides becomes an `nn.ZeroPad2d` of its own, because `nn.Conv2d` knows only
    equal ones.
    """
    require_weights(chain, weights)
    modules: list[nn.Module] = []
    for link, one in zip(chain.links, weights, strict=True):
        modules += _padding(link)
        modules.append(_filled(_layer(link), one))
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


def _filled(layer: Any, weights: LinkWeights) -> nn.Module:
    with torch.no_grad():
        layer.weight.copy_(_tensor(weights.weight))
        if weights.bias is not None:
            layer.bias.copy_(_tensor(weights.bias))
    return layer  # type: ignore[no-any-return]


def _tensor(array: NDArray[Any]) -> torch.Tensor:
    """Of an array that may be a reversed view, which torch does not take."""
    return torch.from_numpy(np.ascontiguousarray(array))
