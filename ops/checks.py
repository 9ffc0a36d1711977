"""What both writers ask of a chain and its weights before they write."""

from __future__ import annotations

from collections.abc import Sequence

from ..errors import LayerError
from ..records import LayerSpec
from .chain import Chain, LinkWeights


def require_weights(chain: Chain, weights: Sequence[LinkWeights]) -> None:
    """`LayerError` unless there is one `LinkWeights` of the right shapes for each link."""
    if len(weights) != len(chain.links):
        raise LayerError(f"{len(chain.links)} links need as many weights, not {len(weights)}")
    for link, one in zip(chain.links, weights, strict=True):
        _require_fit(link, one)


def _require_fit(link: LayerSpec, weights: LinkWeights) -> None:
    found = tuple(weights.weight.shape)
    if found != link.weight_shape:
        raise LayerError(f"a link needs a weight {link.weight_shape}, not {found}")
    if (weights.bias is not None) != link.bias:
        raise LayerError("a link's bias and its weights' bias must both be there, or neither")
    if weights.bias is not None and weights.bias.shape != (link.out_channels,):
        raise LayerError(f"a link needs {link.out_channels} biases, not {weights.bias.shape}")
