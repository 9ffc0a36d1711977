"""What rounding a layer to eight bits would change of what is compared: from the same gradients as
what candidates would change, without a network in which anything is quantised.

A layer is rounded as ONNX Runtime's quantiser does it: weights by output channel to 127 steps on
either side, its input and its output to 255 steps over the range that they have.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn

from ..inputs.examples import Given
from ..models.differentiable import Differentiable
from ..ops.chain import Chain, LinkWeights
from ..ops.torch_writer import to_torch
from ..records import ORIGINAL, LayerSpec
from .assembly import Assembly
from .cotangents import Cotangents
from .gradients import by_batch
from .layer_changes import OutputChanges, Weights
from .sensitivities import Held, squares

LEVELS, SIGNED = 255, 127


def rounding_contributions(
    assembly: Assembly,
    network: Differentiable,
    inputs: Given,
    layers: Iterable[str],
    cotangents: Cotangents,
) -> dict[str, float]:
    """Return what rounding each layer alone would add to the squared network error over the inputs
    (n, ...), to first order: one forward pass, and a backward pass for each cotangent. Raises
    `ModelError` where no gradient can be taken."""
    held = Held([], {})
    for number, name in enumerate(layers):
        module = RoundedLayer(assembly.spec(name), assembly.network.weights(name))
        held.order.append((name, ORIGINAL))
        held.by_layer[name] = [(slice(number, number + 1), OutputChanges([module]))]
    work = partial(squares, held, cotangents)
    total = np.sum(list(by_batch(network, inputs, network.inputs.batch, work)), axis=0)
    return dict(zip((name for name, _ in held.order), total.tolist(), strict=True))


class RoundedLayer(nn.Module):
    """The layer on its rounded input, with rounded weights, and its output rounded."""

    def __init__(self, spec: LayerSpec, layer: Weights) -> None:
        super().__init__()
        weight, bias = layer
        chain = Chain((spec,))
        self.layer = to_torch(chain, [LinkWeights(by_channel(weight), bias if spec.bias else None)])

    def forward(self, inputs: Tensor) -> Tensor:
        return rounded(self.layer(rounded(inputs)))


def rounded(values: Tensor) -> Tensor:
    """Return the values on `LEVELS` steps from the least to the largest, zero being one of them."""
    low, high = values.amin().clamp(max=0.0), values.amax().clamp(min=0.0)
    step = ((high - low) / LEVELS).clamp(min=torch.finfo(values.dtype).tiny)
    return torch.round(values / step) * step


def by_channel(weight: np.ndarray) -> np.ndarray:
    """Return a weight (C_out, ...) with each output channel on steps of its own."""
    rows = weight.reshape(len(weight), -1)
    steps = np.abs(rows).max(axis=1, keepdims=True) / SIGNED
    steps[steps == 0] = 1.0
    return np.asarray(np.round(rows / steps) * steps, np.float32).reshape(weight.shape)
