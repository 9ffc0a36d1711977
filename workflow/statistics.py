"""`apply --reestimate-bn`: batch normalisation fitted to the layers as they are now.

A decomposed layer's outputs have other means and variances than the original's, which the
statistics behind it were gathered from. They are averaged again over the fit split; no weight
changes, and the same pictures give the same statistics.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, cast

from ..errors import ModelError, UsageError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor, nn

    from ..models.network import Network
    from ..models.onnx_network import OnnxNetwork
    from ..models.torch_network import TorchNetwork

BATCH = 8
"""Examples that go through the network together, where it takes so many."""
STATISTICS = ("running_mean", "running_var")


def with_statistics(network: Network, inputs: NDArray[np.float32]) -> Network:
    """A copy of the network with statistics of its batch normalisation over `inputs` (n, ...).

    An ONNX graph is computed by torch for this, and the statistics go back into its
    BatchNormalization nodes. Raises `UsageError` where there is no batch normalisation (most
    exporters fold it into the convolution before it), `ModelError` where torch has no
    counterpart of an operator.
    """
    if network.framework == "onnx":
        return _onnx_with_statistics(cast("OnnxNetwork", network), inputs)
    from ..models.torch_network import TorchNetwork

    module = copy.deepcopy(cast("TorchNetwork", network).module)
    _estimate(module, network.input_shape, inputs)
    return TorchNetwork(module, network.source, network.input_shape)


def _onnx_with_statistics(network: OnnxNetwork, inputs: NDArray[np.float32]) -> Network:
    converted = network.to_torch(compared=True)
    _estimate(converted.module, network.input_shape, inputs)
    state = converted.module.state_dict()
    changed = {name: value for name, value in state.items() if name.endswith(STATISTICS)}
    return network.with_state(converted, changed)


def _estimate(module: nn.Module, shape: Sequence[int], inputs: NDArray[np.float32]) -> None:
    """Set the module's statistics to their averages over the inputs."""
    from ..training.batch_norm import batch_norms, reestimate

    if not batch_norms(module):
        raise UsageError(
            "this network has no batch normalisation to estimate again (exporters fold it into "
            "the convolution before it): leave --reestimate-bn out"
        )
    try:
        reestimate(module, _whole_batches(module, tuple(shape), inputs))
    except ValueError as error:  # torch's, for one value per channel
        raise ModelError(f"batch normalisation cannot be estimated again: {error}") from None


def _whole_batches(
    module: Any, shape: tuple[int, ...], inputs: NDArray[np.float32]
) -> list[Tensor]:
    """The inputs in batches of one size: each counts as much as another, so an incomplete one
    is left out, unless it is the only one."""
    import torch

    from ..models.batching import batches
    from ..models.torch_batches import fitting_batch

    size = fitting_batch(module, shape, min(BATCH, len(inputs)))
    whole = len(inputs) - len(inputs) % size
    return [torch.from_numpy(part) for part, _ in batches(inputs[: whole or None], size)]
