"""What rounding each layer adds to the squared network error, as it is modelled.

How much it is in all is measured, of the original network in int8 or in half precision. Where
single layers may stay in float32, one pass over some of the select split, forward and backward,
says how they share it; elsewhere, and without gradients, all layers share alike.
"""

from __future__ import annotations

from collections.abc import Mapping

from ..errors import ModelError
from ..factors.rounding import rounding_contributions
from .measured_errors import MeasuredErrors

EXAMPLES, COTANGENTS = 12, 2
"""Most examples that are looked at, and directions of the compared outputs that each is asked in.
"""


def rounding_of_layers(select: MeasuredErrors, mixed: bool) -> dict[str, float]:
    """The contribution of each layer that is rounded, by name; they add up to the squared error
    that the original network has in the assembly's form, on the select split. `mixed`: may single
    layers stay in float32?"""
    whole = select.of({}).value ** 2
    names = [use.name for use in select.assembly.network.layers if use.spec and not use.reason]
    shares = _shares(select, names) if mixed else dict.fromkeys(names, 1.0)
    total = sum(shares.values())
    return {name: whole * share / total for name, share in shares.items()} if total else {}


def _shares(select: MeasuredErrors, names: list[str]) -> Mapping[str, float]:
    assembly = select.assembly
    examples, cotangents = select.asked(EXAMPLES, COTANGENTS)
    try:
        module = assembly.network.differentiable()
        return rounding_contributions(assembly, module, examples, names, cotangents)
    except ModelError:
        return dict.fromkeys(names, 1.0)
