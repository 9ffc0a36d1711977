"""What candidates change of a layer, seen from the gradient by the layer's output."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from ..lowrank.output_error import effective_weight
from ..ops.chain import Chain, LinkWeights
from ..ops.torch_modules import torch_pads
from ..ops.torch_writer import to_torch
from ..records import LayerSpec

Replacement = tuple[Chain, Sequence[LinkWeights]]
Weights = tuple[NDArray[np.float32], NDArray[np.float32] | None]
"""A layer's weight and bias."""
Product = Callable[[Tensor], Tensor]
"""From the gradient g by a layer's output to g . (change of the output), one for each change."""

FEW_POSITIONS = 8
"""At so few output positions an example, a change of the output is smaller than one of the weight,
and quicker to make."""


class Changes(Protocol):
    """Changes of one layer that count together."""

    def at(self, inputs: Tensor, outputs: Tensor) -> Product:
        """What they do to the layer's outputs for these inputs. Both tensors may be changed in
        place later."""
        ...


def by_weight(spec: LayerSpec, chain: Chain) -> bool:
    """Whether a chain is best seen as a change of the layer's weight: it must amount to one, and
    the layer must use its weight at many positions."""
    positions = math.prod(spec.output_shape) // spec.out_channels
    return positions > FEW_POSITIONS and spec.groups == 1 and _amounts_to_a_layer(spec, chain)


def _amounts_to_a_layer(spec: LayerSpec, chain: Chain) -> bool:
    """Whether `effective_weight` says what the chain computes."""
    *before, _ = chain.links
    plain = not any(link.bias for link in before) and all(link.groups == 1 for link in chain.links)
    return plain and all(
        math.prod(link.kernel_size[axis] for link in chain.links) == spec.kernel_size[axis]
        and sum(link.kernel_size[axis] > 1 for link in chain.links) <= 1
        for axis in range(len(spec.kernel_size))
    )


def bytes_held(spec: LayerSpec, chain: Chain) -> int:
    """Return the bytes that a change takes while gradients are gathered, in float32."""
    if by_weight(spec, chain):
        return 4 * math.prod(spec.weight_shape)
    return 4 * (chain.params + math.prod(spec.output_shape))


@dataclass(frozen=True, slots=True, eq=False)
class WeightChanges:
    """`weights` (changes, values of a weight) and `biases` (changes, C_out): new minus old.

    Their products with a gradient are those of the layer's weight gradient, the sum over positions
    of g x^T, which is made once for all of them.
    """

    spec: LayerSpec
    weights: Tensor
    biases: Tensor

    @classmethod
    def of(cls, spec: LayerSpec, layer: Weights, replacements: Sequence[Replacement]) -> Self:
        weight = layer[0].reshape(len(layer[0]), -1)
        changes = np.empty((len(replacements), weight.size), np.float32)
        biases = np.zeros((len(replacements), len(weight)), np.float32)
        for row, (_, links) in enumerate(replacements):
            changes[row] = (effective_weight([one.weight for one in links]) - weight).ravel()
            if links[-1].bias is not None:
                old = 0.0 if layer[1] is None else layer[1]
                biases[row] = links[-1].bias - old
        return cls(spec, torch.from_numpy(changes), torch.from_numpy(biases))

    def at(self, inputs: Tensor, _outputs: Tensor) -> Product:
        held = inputs.clone()

        def products(gradient: Tensor) -> Tensor:
            by_weight, by_bias = _weight_gradient(self.spec, held, gradient)
            return self.weights @ by_weight.flatten() + self.biases @ by_bias

        return products


def _weight_gradient(spec: LayerSpec, inputs: Tensor, gradient: Tensor) -> tuple[Tensor, Tensor]:
    """Return the gradients by the layer's weight and bias, over all examples together."""
    if spec.op == "linear":
        rows = gradient.reshape(-1, spec.out_channels)
        return rows.T @ inputs.reshape(-1, spec.in_channels), rows.sum(dim=0)
    axes, by_bias = spec.dimensions, gradient.transpose(0, 1).flatten(1).sum(dim=1)
    pads, nothing = torch_pads(spec.padding), [0] * axes
    if spec.is_transposed:
        gradient = F.pad(gradient, pads)
    else:
        inputs = F.pad(inputs, pads)
    shape = list(spec.weight_shape)
    if spec.is_transposed:
        shape[:2] = reversed(shape[:2])  # ungrouped, see `by_weight`
    _, by_weight, _ = torch.ops.aten.convolution_backward(
        gradient,
        inputs,
        gradient.new_empty(shape),
        None,
        spec.stride,
        nothing,
        spec.dilation,
        spec.is_transposed,
        spec.output_padding or nothing,
        1,
        [False, True, False],
    )
    return by_weight.transpose(0, 1) if spec.is_transposed else by_weight, by_bias


@dataclass(frozen=True, slots=True, eq=False)
class OutputChanges:
    """Changes of any sort: by what each replacement makes of the layer's inputs."""

    replacements: Sequence[nn.Module]

    @classmethod
    def of(cls, replacements: Sequence[Replacement]) -> Self:
        return cls([to_torch(*one) for one in replacements])

    def at(self, inputs: Tensor, outputs: Tensor) -> Product:
        with torch.no_grad():
            changes = torch.stack([one(inputs) - outputs for one in self.replacements])
        rows = changes.flatten(1)
        return lambda gradient: rows @ gradient.flatten()
