"""What rounding to eight bits would change of what is compared: from the same gradients as what
candidates would change, without a network in which anything is quantised.

A layer, or a chain in its place, is rounded as ONNX Runtime's quantiser does it: weights by output
channel to 127 steps on either side, its input, its output and what lies between links to 255 steps
over the range that they have. Between links channels are balanced first, as they are in networks
(see `quantization.balancing`).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import torch
from torch import Tensor, nn
from torch.func import functional_call

from ..inputs.examples import Given
from ..models.differentiable import Differentiable
from ..ops.chain import Chain, LinkWeights
from ..ops.torch_writer import to_torch
from ..records import Decomposition, LayerSpec
from .assembly import Assembly
from .cotangents import Cotangents
from .layer_changes import Product, Replacement
from .sensitivities import Candidates, Change, Held, drafts, portions, summed

LEVELS, SIGNED = 255, 127
POWER = 0.75
"""Of a channel's range, by which it is divided: that of `quantization.balancing.USUAL`."""


def rounding_contributions(
    assembly: Assembly,
    network: Differentiable,
    inputs: Given,
    candidates: Candidates,
    cotangents: Cotangents,
) -> dict[Change, float]:
    """Return what rounding each layer alone would add to the squared network error over the inputs
    (n, ...), to first order, as it is (`ORIGINAL`) or as what it may become: one forward pass, and
    a backward pass for each cotangent. Raises `ModelError` where no gradient can be taken."""
    changes = (_held(assembly, one) for one in portions(assembly, candidates, bytes_of_output))
    return summed(changes, network, inputs, cotangents)


def bytes_of_output(spec: LayerSpec, _chain: Chain) -> int:
    """Bytes of a change of the layer's output, in float32."""
    return 4 * math.prod(spec.output_shape)


def _held(assembly: Assembly, portion: Sequence[Change]) -> Held:
    held, made = Held([], {}), drafts(assembly, [one for one in portion if one[1].has_factors])
    of_layer: dict[str, list[Decomposition]] = {}
    for name, choice in portion:
        of_layer.setdefault(name, []).append(choice)
    for name, choices in of_layer.items():
        rows = slice(len(held.order), len(held.order) + len(choices))
        replacements = [made.get((name, one)) or _as_it_is(assembly, name) for one in choices]
        held.by_layer[name] = [(rows, RoundingChanges.of(replacements))]
        held.order.extend((name, one) for one in choices)
    return held


def _as_it_is(assembly: Assembly, name: str) -> Replacement:
    spec, (weight, bias) = assembly.spec(name), assembly.network.weights(name)
    return Chain((spec,)), [LinkWeights(weight, bias if spec.bias else None)]


@dataclass(frozen=True, slots=True, eq=False)
class RoundingChanges:
    """What rounding changes of one layer's output, for each thing that may stand in its place."""

    chains: Sequence[RoundedChain]

    @classmethod
    def of(cls, replacements: Sequence[Replacement]) -> RoundingChanges:
        return cls([RoundedChain(*one) for one in replacements])

    def at(self, inputs: Tensor, _outputs: Tensor) -> Product:
        with torch.no_grad():
            changes = torch.stack([one.coarse(inputs) - one.exact(inputs) for one in self.chains])
        rows = changes.flatten(1)
        return lambda gradient: rows @ gradient.flatten()


class RoundedChain:
    """A chain of links with their weights, in float and in eight bits."""

    def __init__(self, chain: Chain, weights: Sequence[LinkWeights]) -> None:
        self._links = [
            (spec, to_torch(Chain((spec,)), [one]))
            for spec, one in zip(chain.links, weights, strict=True)
        ]

    def exact(self, inputs: Tensor) -> Tensor:
        for _, link in self._links:
            inputs = link(inputs)
        return inputs

    def coarse(self, inputs: Tensor) -> Tensor:
        """Its output on rounded inputs, with rounded weights, and itself rounded."""
        (spec, link), *others = self._links
        values = _with_rounded_weight(link, None)(rounded(inputs))
        for after, following in others:
            factors = _factors(values, -1 if spec.op == "linear" else 1)
            values = rounded(values / factors) * factors
            per_input = None if after.is_transposed else factors.flatten()
            values = _with_rounded_weight(following, per_input, after.groups)(values)
            spec = after
        return rounded(values)


def _factors(values: Tensor, axis: int) -> Tensor:
    """Each channel's range to `POWER`, over the geometric mean of all, to divide values by."""
    axes = [one for one in range(values.ndim) if one != axis % values.ndim]
    ranges = values.abs().amax(axes, keepdim=True)
    logs = ranges.clamp(min=1e-6 * float(ranges.max()) + torch.finfo(values.dtype).tiny).log()
    return (POWER * (logs - logs.mean())).exp()


def _with_rounded_weight(
    link: nn.Sequential, factors: Tensor | None, groups: int = 1
) -> partial[Tensor]:
    """The link with its weight rounded, as what follows channels that were divided by `factors`
    (channels,)."""
    (name, weight) = next(one for one in link.named_parameters() if one[0].endswith("weight"))
    scale = torch.ones(())
    if factors is not None:
        own = factors.reshape(groups, 1, -1).expand(groups, len(weight) // groups, -1)
        scale = own.reshape(*weight.shape[:2], *[1] * (weight.ndim - 2))
    return partial(functional_call, link, {name: by_channel(weight * scale) / scale})


def rounded(values: Tensor) -> Tensor:
    """Return the values on `LEVELS` steps from the least to the largest, zero being one of them."""
    low, high = values.amin().clamp(max=0.0), values.amax().clamp(min=0.0)
    step = ((high - low) / LEVELS).clamp(min=torch.finfo(values.dtype).tiny)
    return torch.round(values / step) * step


def by_channel(weight: Tensor) -> Tensor:
    """Return a weight (C_out, ...) with each output channel on steps of its own."""
    rows = weight.flatten(1)
    steps = rows.abs().amax(dim=1, keepdim=True) / SIGNED
    steps = torch.where(steps == 0, 1.0, steps)
    return (torch.round(rows / steps) * steps).reshape(weight.shape)
