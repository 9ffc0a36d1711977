"""A compressed network as the user's own module: of its class, where it was, as it was."""

from __future__ import annotations

from torch import nn

from ..layering.replaced_layer import ReplacedLayer
from ..sources.precision import half_of
from ..sources.wrappers import bare
from .torch_network import TorchNetwork


def like_given(network: TorchNetwork, given: nn.Module) -> nn.Module:
    """Return the network's module, of the class of `given` (inside torch's wrappers) and called in
    the same way.

    Its parts are in training mode where those of `given` are, its chains take gradients where
    the layers did, it lies on the same device if that is one alone, and is in half precision if
    `given` is. It is the network's own: whoever changes it changes the network.
    """
    module, given = network.module, bare(given)
    before = dict(given.named_modules())
    for name, part in module.named_modules():
        if name in before:
            part.train(before[name].training)  # whole, because of the links of chains
        if isinstance(part, ReplacedLayer):
            part.requires_grad_(_takes_gradients(before.get(name)))
    places = {one.device for one in (*given.parameters(), *given.buffers())}
    module = module.to(places.pop()) if len(places) == 1 else module
    return module.to(half_of(given))


def _takes_gradients(layer: nn.Module | None) -> bool:
    return layer is None or any(one.requires_grad for one in layer.parameters())
