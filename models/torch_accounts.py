"""Where a torch module's parameters are: see `parameter_accounts`."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping, Sequence

from torch import Tensor, nn

from ..layering.parameter_accounts import ParameterAccounts, shared_out
from ..layering.products import Products
from ..records import LayerUse
from .torch_layers import is_quantized

Held = tuple[Hashable, Tensor]
"""A parameter, and what tells it from others, so that one that several modules have counts once."""


def torch_accounts(
    module: nn.Module, uses: Sequence[LayerUse], products: Products, batch: int
) -> ParameterAccounts:
    """Count the parameters of a module by its layers; those of int8 layers, which torch keeps
    elsewhere, too. `products` has seen one forward pass of `batch` examples.

    A layer's are also those of what is inside it (a weight's norm and direction). Layers that can
    be decomposed come first where several share one.
    """
    parts = dict(module.named_modules(remove_duplicate=False))
    weights = dict(module.named_parameters(remove_duplicate=False))
    held = {use.name: list(_held_by(use.name, parts, weights)) for use in uses}
    first = sorted(uses, key=lambda use: use.spec is None)
    claims = ((use.name, key, one.numel()) for use in first for key, one in held[use.name])
    rest = (
        (type(part).__name__, key, one.numel())
        for part in module.modules()
        for key, one in _held(part)
    )
    macs = {name: _macs(products, parts.get(name), of) for name, of in held.items()}
    known = {name: count // batch for name, count in macs.items() if count is not None}
    return shared_out(claims, rest, known, products.of_computed // batch)


def _held_by(
    name: str, parts: Mapping[str, nn.Module], weights: Mapping[str, Tensor]
) -> Iterator[Held]:
    """Yield the parameters of a layer and of what is inside it; itself, if it is a parameter."""
    if name in weights:
        yield _key(weights[name]), weights[name]
        return
    for part in parts[name].modules():
        yield from _held(part)


def _held(part: nn.Module) -> Iterator[Held]:
    """Yield the parameters of a module itself, or what an int8 layer has in their place."""
    for parameter in part.parameters(recurse=False):
        yield _key(parameter), parameter
    for packed in ("weight", "bias") if is_quantized(part) else ():
        value = getattr(part, packed)()
        if isinstance(value, Tensor):
            yield (id(part), packed), value


def _key(parameter: Tensor) -> Hashable:
    return parameter.data_ptr(), parameter.numel()


def _macs(products: Products, part: nn.Module | None, held: Sequence[Held]) -> int | None:
    """Return a layer's multiply-accumulates; None where none were counted."""
    each = [products.macs_of(parameter) for parameter in dict(held).values()]
    each += [] if part is None else [products.macs_inside(part)]
    counted = [macs for macs in each if macs is not None]
    return sum(counted) if counted else None
