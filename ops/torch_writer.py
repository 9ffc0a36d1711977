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
from .layouts import as_written
from .torch_modules import CONVOLUTIONS, padded_kind, torch_pads, transposed_kind

ZERO_PADS: dict[int, Any] = {1: nn.ZeroPad1d, 2: nn.ZeroPad2d, 3: nn.ZeroPad3d}


def to_torch(chain: Chain, weights: Sequence[LinkWeights]) -> nn.Sequential:
    """The chain as torch's convolutions and linear layers in a row, in eval mode.

    One weight for each link, with its `weight_shape`; else `LayerError`. Padding that differs
    between opposite sides becomes an `nn.ZeroPad2d` (1d, 3d) of its own, because torch's
    convolutions know only equal ones.
    """
    require_weights(chain, weights)
    modules: list[nn.Module] = []
    for link, one in zip(chain.links, weights, strict=True):
        modules += _padding(link)
        modules.append(_filled(_layer(link), link, one))
    return nn.Sequential(*modules).eval()


def _is_symmetric(link: LayerSpec) -> bool:
    return all(begin == end for begin, end in link.padding_by_axis)


def _padding(link: LayerSpec) -> list[nn.Module]:
    if link.is_transposed or _is_symmetric(link):
        return []
    pad: nn.Module = ZERO_PADS[link.dimensions](tuple(torch_pads(link.padding)))
    return [pad]


def _layer(link: LayerSpec) -> nn.Module:
    dtype = getattr(torch, link.dtype)
    if link.op == "linear":
        return nn.Linear(link.in_channels, link.out_channels, bias=link.bias, dtype=dtype)
    kind, padding = _kind(link)
    made: nn.Module = kind(
        link.in_channels,
        link.out_channels,
        link.kernel_size,
        stride=link.stride,
        dilation=link.dilation,
        groups=link.groups,
        bias=link.bias,
        dtype=dtype,
        **padding,
    )
    return made


def _kind(link: LayerSpec) -> tuple[Any, dict[str, Any]]:
    """Return the class of the module, and the settings of its padding."""
    if link.is_transposed:
        steps = [max(pair) for pair in zip(link.stride, link.dilation, strict=True)]
        return transposed_kind(link.padding, link.output_padding, steps)
    if _is_symmetric(link):
        return padded_kind(link.padding)
    return CONVOLUTIONS[link.dimensions], {}  # its padding is a module of its own


def _filled(layer: Any, link: LayerSpec, weights: LinkWeights) -> nn.Module:
    with torch.no_grad():
        layer.weight.copy_(_tensor(as_written(link, weights.weight)))
        if weights.bias is not None:
            layer.bias.copy_(_tensor(weights.bias))
    return layer  # type: ignore[no-any-return]


def _tensor(array: NDArray[Any]) -> torch.Tensor:
    """Of an array that may be a reversed view, which torch does not take."""
    return torch.from_numpy(np.ascontiguousarray(array))
