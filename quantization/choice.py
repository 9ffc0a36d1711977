"""Which recipe loses least, chosen on the select split."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ..models.compared import Compared
from ..models.network import Network, Outputs, layer_named
from ..models.network_error import NetworkError
from ..models.onnx_network import OnnxNetwork
from ..models.pictures import Calibration
from ..reporter import Reporter
from .balancing import BALANCES, NAIVE, USUAL, Balance
from .calibration import Ready
from .products import middles
from .recipe import PLAIN, Recipe

MARGINS = (1.0, 1.15, 1.3, 1.5)
"""Of a ResNet-50 whose ranges were taken from 20 photos most of the error in int8 was what others
had beyond them: 0.122 as they were, 0.092 at 1.3 times, 0.107 at twice the range."""


@dataclass(frozen=True, slots=True, eq=False)
class Quantised:
    """A network in int8, by which recipe, and its error on the select split."""

    network: OnnxNetwork
    recipe: Recipe
    error: float


def balanced_by(ready: Ready, balance: Balance = USUAL, in_float: Iterable[str] = ()) -> Recipe:
    """Return the recipe that balances the channels of all tensors between products so."""
    powers = {one.tensor: balance.power(one) for one in middles(ready.model.graph)}
    name = str(balance) if powers else PLAIN.name
    return Recipe(name, powers, frozenset(in_float))


def recipes(ready: Ready, in_float: Iterable[str] = ()) -> list[Recipe]:
    """Return what is tried: as the quantiser does it, and with channels balanced."""
    balances = BALANCES if ready.middles else (NAIVE,)
    return [balanced_by(ready, one, in_float) for one in balances]


def quantised_network(
    original: Network,
    network: Network,
    pictures: Calibration,
    compared: Compared,
    in_float: Iterable[str] = (),
    reporter: Reporter | None = None,
    dynamic_batch: bool = False,
) -> Quantised:
    """Return the network in int8 by the recipe with the least network error on the select split,
    against the original's outputs.

    `in_float`: layers that stay in float32. A torch network is exported as `save_network` does it,
    which tells the reporter what becomes of the batch. See `Ready.of` and `Ready.quantised` for
    what is raised.
    """
    kept = [layer_named(original.layers, name).name for name in in_float]
    ready = Ready.of(network, pictures, reporter, dynamic_batch)
    return best_of(
        ready,
        recipes(ready, kept),
        original.outputs(pictures.select),
        pictures,
        compared,
    )


def best_of(
    ready: Ready,
    tried: Iterable[Recipe],
    reference: Outputs,
    pictures: Calibration,
    compared: Compared,
) -> Quantised:
    """Return the best of the recipes, and of wider ranges for it; `reference`: the original's
    outputs on the select split."""

    def made(recipe: Recipe) -> Quantised:
        network = ready.quantised(recipe)
        outputs = network.outputs(pictures.select)
        error = NetworkError.of(compared, reference, outputs, len(pictures.names("select")))
        return Quantised(network, recipe, error.value)

    def best(found: Iterable[Quantised]) -> Quantised:
        return min(found, key=lambda one: one.error)

    first = best(map(made, tried))
    wider = (made(first.recipe.with_margin(margin)) for margin in MARGINS[1:])
    return best([first, *wider])
