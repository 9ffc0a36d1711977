"""A chain of links in a layer's place, which answers as the layer did when asked what it is."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import ModelError
from .attention import LayeredAttention
from .called_layers import CalledForWeight
from .torch_convolutions import padding_of, pads_itself

SETTINGS = (
    *("in_channels", "out_channels", "kernel_size", "stride", "padding", "dilation", "groups"),
    *("padding_mode", "transposed", "output_padding", "in_features", "out_features"),
    *("nf", "nx"),
)
"""What networks ask their layers for."""


class ReplacedLayer(nn.Sequential):
    """Links, one after the other, with the settings of `layer`.

    `weight` has the layer's shape, type and device, but there is no such matrix: its numbers are
    NaN, so that nothing can be computed with them unnoticed.
    """

    def __init__(self, layer: nn.Module, links: Iterable[nn.Module]) -> None:
        super().__init__(*links)
        for name in SETTINGS:
            if hasattr(layer, name):
                setattr(self, name, getattr(layer, name))
        self._weight_shape = getattr(layer, "weight", torch.empty(0)).shape

    def forward(self, input: Tensor, output_size: Any = None) -> Tensor:
        """As `nn.Sequential`; a transposed convolution may be asked for a size of its output."""
        outputs: Tensor = super().forward(input)  # type: ignore[no-untyped-call]
        made = tuple(outputs.shape[2:])
        if output_size is not None and tuple(output_size)[-len(made) :] != made:
            raise ModelError(
                f"a replaced layer is asked for outputs of size {tuple(output_size)}, but its "
                f"plan was made for {made}"
            )
        return outputs

    @property
    def weight(self) -> Tensor:
        some: Tensor = next(self.parameters())
        return some.detach().new_full((1,), float("nan")).expand(self._weight_shape)

    @property
    def bias(self) -> Tensor | None:
        """That of the last link."""
        return getattr(self[-1], "bias", None)


class ReplacedCall(CalledForWeight, ReplacedLayer):
    """Links in the place of a parameter that is used in functional calls."""


def replaced_layer(layer: nn.Module, links: Iterable[nn.Module]) -> ReplacedLayer:
    """Return the links in the layer's place, with what the layer does before and after itself (such
    as padding that is not of zeros), in eval mode."""
    if isinstance(layer, CalledForWeight):
        call = ReplacedCall(layer, [*layer.before, *links, *layer.after])
        call.call = layer.call
        return call.eval()
    padding = [padding_of(layer)] if pads_itself(layer) else []
    return ReplacedLayer(layer, [*padding, *links]).eval()


def called_chain(parameter: Tensor, links: Iterable[nn.Module]) -> ReplacedLayer:
    """Return the links of a file in a parameter's place. Nobody knows how the network uses it, so
    every call with it is answered."""
    holder = nn.Module()
    holder.weight = parameter
    made = ReplacedCall(holder, links)
    return made.to(parameter.device, parameter.dtype).eval()


def leave_fast_paths(module: nn.Module) -> None:
    """Keep torch's transformers from reading the weights of layers that are replaced or turned into
    others, which they do without calling them."""
    for part in module.modules():
        if not isinstance(part, (nn.TransformerEncoderLayer, nn.TransformerEncoder)):
            continue
        if any(isinstance(inner, (ReplacedLayer, LayeredAttention)) for inner in part.modules()):
            if isinstance(part, nn.TransformerEncoder):
                part.use_nested_tensor = False
            else:
                # Torch's own word for "neither relu nor gelu", for which there is no fast path.
                part.activation_relu_or_gelu = 0
