"""`apply --reestimate-bn` and `--match-channels`: what goes on behind decomposed layers, fitted to
them as they are now, without training.

A decomposed layer's outputs have other means and variances than the original's. Either the
statistics of the batch normalisation behind it are averaged again over the fit split, and no weight
changes; or, where it is folded away, each layer's scale and bias give its channels the original's
mean and deviation back. The same pictures give the same network.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from torch import nn

from ..errors import ModelError, UsageError
from ..inputs.examples import Given, NetworkInputs
from ..models.batching import batches
from ..models.compared import Compared
from ..models.network import Network
from ..models.network_error import NetworkError
from ..models.onnx_network import OnnxNetwork
from ..models.pictures import Calibration
from ..models.torch_batches import fitting_batch
from ..models.torch_network import TorchNetwork
from ..reporter import Reporter
from ..sources.module_copies import copied
from ..training.batch_norm import batch_norms, reestimate
from ..training.channel_statistics import MIN_EXAMPLES, ChannelStatistics, examples_at_once
from ..training.pair import pair_of
from ..training.training_pictures import TrainingExamples, training_examples

BATCH = 8
"""Examples that go through the network together, where it takes so many."""
STATISTICS = ("running_mean", "running_var")


class Fitting(NamedTuple):
    """What is done to a compressed network from pictures, without training."""

    option: str
    told: str
    fitted: Callable[[Network, Calibration], Network]

    def __call__(
        self, network: Network, pictures: Calibration, compared: Compared, reporter: Reporter
    ) -> Network:
        """The fitted network, or the network as it is where that is better on the select split;
        says which."""
        fitted = self.fitted(network, pictures)
        wanted = network.original.outputs(pictures.select)
        before, after = (
            NetworkError.of(compared, wanted, one.outputs(pictures.select)).value
            for one in (network, fitted)
        )
        change = f"network error on the select split {before:.4f} -> {after:.4f}"
        if not after <= before:
            reporter.message(f"{self.option} makes it worse and was left out: {change}")
            return network
        reporter.message(f"{self.told}: {change}")
        return fitted


def fitting_for(reestimate_bn: bool, match_channels: bool) -> Fitting | None:
    """What the user asked for; `UsageError` for both."""
    if reestimate_bn and match_channels:
        raise UsageError("give --reestimate-bn or --match-channels, not both: either is enough")
    if reestimate_bn:
        told = "batch normalisation was estimated again"
        return Fitting("--reestimate-bn", told, lambda n, p: with_statistics(n, p.fit))
    if match_channels:
        return Fitting("--match-channels", "channels are as in the original", _matched)
    return None


def _matched(network: Network, pictures: Calibration) -> Network:
    return with_channels(network, training_examples(pictures, network.inputs))


def with_statistics(network: Network, inputs: Given) -> Network:
    """A copy of the network with statistics of its batch normalisation over `inputs` (n, ...).

    An ONNX graph is computed by torch for this, and the statistics go back into its
    BatchNormalization nodes. Raises `UsageError` where there is no batch normalisation (most
    exporters fold it into the convolution before it), `ModelError` where torch has no
    counterpart of an operator.
    """
    if isinstance(network, TorchNetwork):
        module = copied(network.module)
        _estimate(module, network.inputs, inputs)
        return TorchNetwork(module, network.source, network.inputs)
    assert isinstance(network, OnnxNetwork)
    converted = network.to_torch(compared=True)
    _estimate(converted.module, network.inputs, inputs)
    state = converted.module.state_dict()
    changed = {name: value for name, value in state.items() if name.endswith(STATISTICS)}
    return network.with_state(converted, changed)


def _estimate(module: nn.Module, takes: NetworkInputs, inputs: Given) -> None:
    """Set the module's statistics to their averages over the inputs."""
    if not batch_norms(module):
        raise UsageError(
            "this network has no batch normalisation to estimate again (exporters fold it into "
            "the convolution before it): --match-channels does without"
        )
    try:
        reestimate(module, _whole_batches(module, takes, inputs))
    except ValueError as error:  # torch's, for one value per channel
        raise ModelError(f"batch normalisation cannot be estimated again: {error}") from None


def with_channels(network: Network, examples: TrainingExamples, seed: int = 0) -> Network:
    """A copy of a compressed network, each channel of whose layers has the original's mean and
    standard deviation over examples that the seed draws.

    An ONNX graph is computed by torch for this; its own layers get the new weights. Raises
    `UsageError` where the network takes too few examples at once, `ModelError` where torch has no
    counterpart of an operator.
    """
    pair = pair_of(network.original, network.replacements)
    size = examples_at_once(pair.original, network.inputs)
    if not size:
        raise UsageError(
            f"--match-channels needs a network that takes {MIN_EXAMPLES} examples at once"
        )
    drawn = examples.batch(size, np.random.default_rng(seed))
    ChannelStatistics(pair, drawn).match()
    return pair.network()


def _whole_batches(module: Any, takes: NetworkInputs, inputs: Given) -> list[Given]:
    """The inputs in batches of one size: each counts as much as another, so an incomplete one
    is left out, unless it is the only one."""
    size = fitting_batch(module, takes, min(BATCH, len(inputs)))
    whole = len(inputs) - len(inputs) % size
    return [part for part, _ in batches(inputs[: whole or None], size)]
