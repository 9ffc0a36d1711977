"""What rounding adds to the squared network error, as it is modelled, for each layer as it is and
for what may stand in its place: a chain has more tensors that are rounded.

How much it is in all is measured, of the original network in int8 or in half precision. Where
single layers may stay in float32, one pass over some of the select split, forward and backward,
says how the layers share it; elsewhere, and without gradients, all layers share alike.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ..errors import ModelError
from ..factors.rounding import rounding_contributions
from ..records import ORIGINAL, Decomposition
from .contributions import Probe
from .measured_errors import MeasuredErrors

EXAMPLES, COTANGENTS = 12, 2
"""Most examples that are looked at, and directions of the compared outputs that each is asked in.
"""


def rounding_of(select: MeasuredErrors, probes: Iterable[Probe], mixed: bool) -> dict[Probe, float]:
    """The contribution of each layer that is rounded and of each choice that is probed; those of
    the layers as they are (`ORIGINAL`) add up to the squared error that the original network has in
    the assembly's form, on the select split. `mixed`: may single layers stay in float32?"""
    whole = select.of({}).value ** 2
    names = [use.name for use in select.assembly.network.layers if use.spec and not use.reason]
    shares = _shares(select, names, probes) if mixed else _alike(names)
    total = sum(shares[name, ORIGINAL] for name in names)
    return {one: whole * share / total for one, share in shares.items()} if total else {}


def _alike(names: Iterable[str]) -> Mapping[Probe, float]:
    return {(name, ORIGINAL): 1.0 for name in names}


def _shares(
    select: MeasuredErrors, names: list[str], probes: Iterable[Probe]
) -> Mapping[Probe, float]:
    assembly, wanted = select.assembly, dict[str, list[Decomposition]]()
    for name in names:
        wanted[name] = [ORIGINAL]
    for name, choice in probes:
        wanted[name].append(choice)
    examples, cotangents = select.asked(EXAMPLES, COTANGENTS)
    try:
        module = assembly.network.differentiable()
        return rounding_contributions(assembly, module, examples, wanted, cotangents)
    except ModelError:
        return _alike(names)
