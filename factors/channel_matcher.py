"""What brings channels of decomposed layers back to the original's mean and deviation: statistics
of the original's over some examples, and the scales and shifts that follow from them."""

from __future__ import annotations

import math
from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..errors import ModelError
from ..inputs.examples import Given
from ..models.batching import spread
from ..models.network import Network, Replacements
from ..models.pictures import Calibration
from ..models.torch_batches import fitting_batch, one_thread
from ..models.torch_network import TorchNetwork
from ..models.torch_outputs import answer_of
from ..training.channel_statistics import LAYERS, Statistics, corrected, last_link, statistics
from ..training.hooks import hooked
from .channel_matching import EXAMPLES

FEWEST = 8
"""Fewest examples that statistics are taken from."""
MAX_NUMBERS = 8_000_000
"""Numbers in the largest layer's outputs: beyond what caches hold a pass takes several times as
long, so that large pictures are fewer."""


class ChannelMatcher:
    """Statistics of the original's channels over some examples, for chains to be like them.

    `examples` (n, ...) go through the network all at once. Raises `ModelError` where torch cannot
    run the network, or it takes another number of examples only.
    """

    def __init__(self, network: Network, examples: Given) -> None:
        found = network.differentiable()
        self._network = TorchNetwork(found.module, network.source, found.inputs)
        self._paths = found.paths
        self._examples = examples
        if fitting_batch(found.module, found.inputs, len(examples)) != len(examples):
            raise ModelError(f"the network does not take {len(examples)} examples at once")

    @cached_property
    def _wanted(self) -> dict[str, Statistics]:
        """Statistics of every layer that can be replaced, by its path."""
        wanted: dict[str, Statistics] = {}
        module = self._network.module
        layers = {path: module.get_submodule(path) for path in self._paths.values()}
        links = {path: layer for path, layer in layers.items() if isinstance(layer, LAYERS)}

        def note(path: str, outputs: Tensor) -> None:
            wanted.setdefault(path, statistics(outputs, links[path]))

        with torch.no_grad(), one_thread(), hooked(module, links, note):
            answer_of(module, self._examples)
        return wanted

    def corrections(self, replacements: Replacements) -> dict[str, NDArray[np.float32]]:
        """Return scale and shift of each chain's channels, as arrays `NAME.scale`, `NAME.shift`.
        Chains without a bias have none."""
        paths = {self._paths[name]: name for name in replacements}
        there = {path: replacements[name] for path, name in paths.items()}
        student = self._network.replaced(there).module
        links = {path: last_link(student.get_submodule(path)) for path in paths}
        left = {path for path, link in links.items() if link.bias is not None}
        found: dict[str, NDArray[np.float32]] = {}

        def correct(path: str, outputs: Tensor) -> Tensor | None:
            if path not in left:  # a layer that runs again is corrected by now
                return None
            left.discard(path)
            answer, scale, shift = corrected(links[path], outputs, self._wanted[path])
            found[f"{paths[path]}.scale"] = scale.numpy()
            found[f"{paths[path]}.shift"] = shift.numpy()
            return answer

        with torch.no_grad(), one_thread(), hooked(student, sorted(left), correct):
            answer_of(student, self._examples)
        return found


def matcher_of(network: Network, pictures: Calibration) -> ChannelMatcher:
    """A matcher on examples of the fit split; see `ChannelMatcher`."""
    outputs = (math.prod(use.spec.output_shape) for use in network.layers if use.spec)
    fitting = MAX_NUMBERS // max(outputs, default=1)
    return ChannelMatcher(network, spread(pictures.fit, min(max(fitting, FEWEST), EXAMPLES)))
