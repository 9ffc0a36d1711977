"""Means and spreads of channels, brought back to what they were before decomposition.

A chain of low rank says less than its layer did: channels spread less, so that what follows an
activation has another mean, and that adds up over the layers. Where there is batch normalisation
its statistics can be estimated again (`batch_norm`). Where it is folded into the convolutions, as
in most ONNX files, the scale and bias of every layer can do the same (REPAIR, arXiv 2211.08403,
does it for networks between two others).
"""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import torch
from torch import Tensor, nn

from ..inputs.examples import Given, Takes, inputs_of
from ..layering.torch_convolutions import CONVOLUTIONS
from ..models.torch_batches import fitting_batch
from ..models.torch_layers import Shift
from ..models.torch_outputs import answer_of
from .hooks import hooked
from .pair import Pair, links

LAYERS: tuple[type[nn.Module], ...] = (nn.Linear, *CONVOLUTIONS, Shift)
MAX_SCALE = 2.0
"""A channel is scaled by at most this, or its inverse: one that hardly spreads says nothing."""

MAX_EXAMPLES, MIN_EXAMPLES = 128, 16
"""Examples that statistics are estimated from: more say little more, fewer too little."""
MAX_NUMBERS = 20_000_000
"""Numbers in the inputs that go through a network at once for its channels' statistics: 80 MB, and
some twenty times that inside."""

Statistics = tuple[Tensor, Tensor]
"""Standard deviation and mean of every channel."""


class ChannelStatistics:
    """What the original's channels are like over some inputs, for a student to be like them."""

    def __init__(self, pair: Pair, inputs: Given | Tensor) -> None:
        """`inputs`: (n, ...), all of which go through the networks at once."""
        self.pair, self.inputs = pair, inputs
        self._links = {
            path: last_link(pair.student.get_submodule(path)) for path in layers_of(pair)
        }
        self._wanted: dict[str, Statistics] = {}

        def note(path: str, outputs: Tensor) -> None:
            self._wanted.setdefault(path, statistics(outputs, self._links[path]))

        with torch.no_grad(), hooked(pair.original, self._links, note):
            answer_of(pair.original, inputs)

    def match(self) -> None:
        """Scale and shift the channels of the student's layers, so that each has the original's
        mean and standard deviation.

        One pass, in the order in which layers run: each sees what was corrected before it. Layers
        without a bias stay as they are, and so do those that share a weight.
        """
        left = dict(self._wanted)

        def correct(path: str, outputs: Tensor) -> Tensor | None:
            wanted = left.pop(path, None)  # a layer that runs again is corrected by now
            return None if wanted is None else corrected(self._links[path], outputs, wanted)[0]

        with torch.no_grad(), hooked(self.pair.student, list(left), correct):
            answer_of(self.pair.student, self.inputs)

    def match_last_mean(self, batch: int) -> None:
        """Shift the last of the layers, so that the mean of what the network says is right.

        In batches, which is more than twice as fast as all at once: this is done at every look.
        """
        if not self._wanted:
            return
        path, (_, wanted) = list(self._wanted.items())[-1]
        link, by_start = self._links[path], dict[int, Tensor]()
        with torch.no_grad():
            for start in range(0, len(self.inputs), batch):

                def keep(_path: str, outputs: Tensor, start: int = start) -> None:
                    by_start.setdefault(start, outputs.clone())  # what follows may work in place

                with hooked(self.pair.student, [path], keep):
                    answer_of(self.pair.student, self.inputs[start : start + batch])
            _, mean = statistics(torch.cat(list(by_start.values())), link)
            link.bias.add_(wanted - mean)


def examples_at_once(module: nn.Module, takes: Takes) -> int:
    """How many examples to take statistics over, 0 where the network takes too few together.

    `takes`: inputs with a batch that the network takes.
    """
    inputs = inputs_of(takes)
    wanted = min(MAX_EXAMPLES, MAX_NUMBERS // max(1, inputs.numbers))
    if wanted < MIN_EXAMPLES:
        return 0
    size = fitting_batch(module, inputs, wanted)
    return size if size >= MIN_EXAMPLES else 0


def layers_of(pair: Pair) -> list[str]:
    """Paths of the layers that can be corrected, in the original and in the student alike."""
    named = pair.student.named_parameters(remove_duplicate=False)
    uses = Counter(id(parameter) for _, parameter in named)
    paths = []
    for path, layer in pair.original.named_modules():
        if isinstance(layer, LAYERS):
            link = last_link(pair.student.get_submodule(path))
            if link.bias is not None and all(uses[id(one)] == 1 for one in link.parameters()):
                paths.append(path)
    return paths


def last_link(layer: nn.Module) -> Any:
    """A chain's last convolution or linear layer; a layer that is no chain is its own."""
    return layer if isinstance(layer, LAYERS) else links(layer)[-1]


def statistics(outputs: Tensor, link: nn.Module) -> Statistics:
    """Return the standard deviation and the mean of every channel of a link's outputs.

    First of each plane of positions, which lies together in memory, then of all: torch's own
    deviation over axes on both sides of the channels takes three times as long.
    """
    axis = channel_axis(outputs, link)
    planes = outputs.reshape(-1, outputs.shape[axis], math.prod(outputs.shape[axis + 1 :]))
    means = planes.mean(dim=2)
    lengths = torch.linalg.vector_norm(planes - means[..., None], dim=2)
    mean = means.mean(dim=0)
    variance = lengths.square().mean(dim=0) / planes.shape[2] + means.var(dim=0, correction=0)
    return variance.sqrt(), mean


def channel_axis(outputs: Tensor, link: Any) -> int:
    """(..., features) of a linear layer, (n, channels, ...) of a convolution."""
    axes = 0 if isinstance(link, nn.Linear | Shift) else len(link.kernel_size)
    return outputs.dim() - 1 - axes


def corrected(link: Any, outputs: Tensor, wanted: Statistics) -> tuple[Tensor, Tensor, Tensor]:
    """Change the link; return what its outputs are with the change, and the scale and shift of
    every channel."""
    deviation, mean = statistics(outputs, link)
    scale = torch.ones_like(mean)
    if not isinstance(link, Shift):
        tiny = torch.finfo(outputs.dtype).tiny
        scale = (wanted[0] / deviation.clamp_min(tiny)).clamp(1 / MAX_SCALE, MAX_SCALE)
        _scale_outputs(link, scale)
    shift = wanted[1] - scale * mean
    link.bias.mul_(scale).add_(shift)
    shape = [1] * outputs.dim()
    shape[channel_axis(outputs, link)] = -1
    return outputs * scale.reshape(shape) + shift.reshape(shape), scale, shift


def _scale_outputs(link: Any, scale: Tensor) -> None:
    """Scale the part of the link's weight that each output is made from."""
    behind = [1] * (link.weight.dim() - 1)
    if getattr(link, "transposed", False):  # (C_in, C_out / groups, ...)
        inputs = link.in_channels // link.groups
        scale = scale.reshape(link.groups, -1).repeat_interleave(inputs, dim=0)
        link.weight.mul_(scale.reshape(*scale.shape, *behind[1:]))
    else:
        link.weight.mul_(scale.reshape(-1, *behind))
