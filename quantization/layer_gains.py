"""What a network gains where one of its layers stays in float: int8 hurts some the most.

A layer is a single product, or all links of a chain: while one of them is in int8, the tensor
between them is rounded all the same.
"""

from __future__ import annotations

from ..inputs.examples import Given
from ..models.batching import spread
from ..models.compared import Compared
from ..models.network_error import NetworkError
from .calibration import Ready
from .products import chains
from .recipe import Recipe

EXAMPLES = 8
"""Examples that gains are taken from, at most: each layer costs a run over all of them."""

Products = tuple[str, ...]
"""Names of the products that a layer is made of."""


def gains_in_float(
    ready: Ready, recipe: Recipe, compared: Compared, held_out: Given
) -> dict[Products, float]:
    """Return by how much the squared network error falls where a layer alone stays in float, the
    largest gain first. The error is against the same network in float32.

    `held_out` (n, ...): examples that ranges were not taken from.
    """
    examples = spread(held_out, EXAMPLES)
    reference = ready.network.outputs(examples)

    def squared(tried: Recipe) -> float:
        outputs = ready.quantised(tried).outputs(examples)
        return NetworkError.of(compared, reference, outputs).value ** 2

    whole = squared(recipe)
    layers = [one for one in chains(ready.model.graph) if not recipe.in_float.issuperset(one)]
    if len(layers) < 2:  # nothing would be left in int8
        return {}
    gains = {one: whole - squared(recipe.with_in_float(one)) for one in layers}
    return dict(sorted(gains.items(), key=lambda pair: -pair[1]))


def worst_in_float(
    ready: Ready, recipe: Recipe, compared: Compared, held_out: Given, count: int
) -> Recipe:
    """Return the recipe with the layers in float that gain most by it, `count` at most."""
    gains = gains_in_float(ready, recipe, compared, held_out)
    chosen = [one for one, gain in gains.items() if gain > 0][:count]
    return recipe.with_in_float(name for one in chosen for name in one)
