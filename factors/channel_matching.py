"""Channels of decomposed layers brought back to the original's mean and deviation, inside a plan.

A chain of low rank says less than its layer did: its channels spread less, and behind an
activation that shifts means, too, which adds up over the layers. The last link of each chain is
scaled and shifted so that every channel has the mean and deviation that it has in the original
(REPAIR, arXiv 2211.08403, does so for networks between two others), layer by layer in the
order in which they run, each seeing what was corrected before it. No weight but those of chains
changes, so that what was corrected is part of their factors.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..errors import CalibrationError, ModelError
from ..inputs.examples import Given
from ..models.network import Network, Replacements
from ..models.pictures import Calibration
from ..models.torch_batches import fitting_batch, one_thread
from ..models.torch_network import TorchNetwork
from ..models.torch_outputs import answer_of
from ..ops.chain import LinkWeights
from ..training.channel_statistics import LAYERS, Statistics, corrected, last_link, statistics
from ..training.hooks import hooked
from .array_cache import ArrayCache
from .moments import spread

VERSION = 2
"""Changes with how corrections are computed, so that older ones are not read."""
EXAMPLES, FEWEST = 16, 8
"""Most and fewest examples of the fit split that statistics are taken from, all at once: 8, 16, 32
and 64 gave the demosaicking network the same error to 1.5%."""
MAX_NUMBERS = 8_000_000
"""Numbers in the largest layer's outputs: beyond what caches hold a pass takes several times as
long, so that large pictures are fewer."""

Arrays = Mapping[str, NDArray[Any]]


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


@dataclass(frozen=True, slots=True)
class ChannelMatching:
    """Corrections of one network's plans, kept in the cache. `matcher` makes those that are not
    there; without it (None) they cannot be made again."""

    cache: ArrayCache
    calibration_sha256: str
    matcher: Callable[[], ChannelMatcher] | None

    @property
    def key(self) -> list[object]:
        """What names the corrections, besides the plan's factors."""
        return [VERSION, EXAMPLES, self.calibration_sha256]

    def __call__(self, replacements: Replacements, plan_key: str) -> Replacements:
        """The chains with their channels corrected; `plan_key` names their factors.

        Raises `CalibrationError` where corrections are missing and cannot be made.
        """
        arrays: Arrays | None = self.cache.read("channels", [plan_key])
        if arrays is None:
            if self.matcher is None:
                raise CalibrationError(
                    "the channels of this plan's layers were matched on calibration "
                    f"{self.calibration_sha256[:12]}, which is not cached here: give the same "
                    "pictures again with --calibration"
                )
            arrays = self.matcher().corrections(replacements)
            self.cache.write("channels", [plan_key], arrays)
        return {
            name: (chain, corrected_links(weights, name, arrays))
            for name, (chain, weights) in replacements.items()
        }


def corrected_links(
    weights: Sequence[LinkWeights], name: str, arrays: Arrays
) -> tuple[LinkWeights, ...]:
    """The links of one layer's chain, the last of them scaled and shifted."""
    *first, last = weights
    if f"{name}.scale" not in arrays or last.bias is None:
        return tuple(weights)
    scale, shift = arrays[f"{name}.scale"], arrays[f"{name}.shift"]
    weight = last.weight * scale.reshape(-1, *[1] * (last.weight.ndim - 1))
    changed = LinkWeights(
        weight.astype(last.weight.dtype), (last.bias * scale + shift).astype(last.bias.dtype)
    )
    return (*first, changed)
