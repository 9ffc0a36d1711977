"""What a torch network's layers and outputs are: one forward pass with hooks tells."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ..inputs.examples import NetworkInputs, Takes, inputs_of
from ..integrity.denormal_weights import joined
from ..layering.functional_layers import with_functional_layers
from ..layering.overrides import computes_as
from ..layering.products import Products
from ..layering.shared_parameters import shared_notes, with_shared
from ..layering.torch_convolutions import (
    CONVOLUTIONS,
    computes_plainly,
    conv_op,
    conv_spec,
    output_sizes,
)
from ..layering.unused_parts import Dependence
from ..layering.weight_reads import WeightReads
from ..records import LayerSpec, LayerUse
from .network import linear_input_shape
from .output_rules import OutputNames
from .torch_outputs import find_outputs, named_tensors

OTHER_LAYERS: tuple[tuple[type[nn.Module], str], ...] = (
    (nn.Bilinear, "several inputs (Bilinear)"),
    (nn.MultiheadAttention, "attention that computes in its own way"),
    (nn.RNNBase, "recurrent layer"),
    (nn.RNNCellBase, "recurrent layer"),
)
LAYERS = (*CONVOLUTIONS, nn.Linear, *(kind for kind, _ in OTHER_LAYERS))
QUANTIZED = ("torch.ao.nn.quantized", "torch.ao.nn.intrinsic.quantized")
"""Where torch keeps its int8 modules, which are children of none of these."""

READ = "its weight or bias is used beside calling it"
UNUSED = "no output depends on it: it can be left out of the forward pass"

Shape = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class TorchLayers:
    """`uses` in the order of the first call; `notes` by layer name; `outputs` of the network;
    `products` of one forward pass."""

    uses: tuple[LayerUse, ...]
    notes: dict[str, str]
    outputs: OutputNames
    products: Products


class Shift(nn.Module):
    """A bias for what has none: added to the last axis, (..., features)."""

    def __init__(self, bias: nn.Parameter) -> None:
        super().__init__()
        self.bias = bias

    def forward(self, inputs: Tensor) -> Tensor:
        return inputs + self.bias


def read_layers(module: nn.Module, takes: Takes) -> TorchLayers:
    """Every convolution and linear layer once, under its first name.

    Raises `ModelError` if the network does not run on such an input.
    """
    names = {
        part: name
        for name, part in module.named_modules()
        if isinstance(part, LAYERS) or is_quantized(part)
    }
    inputs = inputs_of(takes)
    products = Products(module.parameters())
    dependence = Dependence(names)

    def answered(answer: Any) -> Iterable[Tensor]:
        return named_tensors(module, answer).values()

    with products.inside(names), output_sizes(names) as asked, dependence.of(module, answered):
        calls, read, outputs = _calls(module, list(names), inputs)
    unfit = dict.fromkeys(read, READ) | dict.fromkeys(dependence.unused, UNUSED)
    order = dict.fromkeys([*calls, *names])
    uses = [
        _use(
            names[part],
            part,
            calls.get(part, []),
            asked.get(part, {None}),
            unfit.get(part, ""),
            inputs.batch,
        )
        for part in order
    ]
    notes = {
        names[part]: f"shared: called {len(shapes)} times"
        for part, shapes in calls.items()
        if len(shapes) > 1
    }
    layers = {name: part for part, name in names.items()}
    uses = list(with_shared(uses, module, layers))
    notes = joined(notes, shared_notes(uses))
    every = with_functional_layers(uses, module, names, products)
    return TorchLayers(every, notes, outputs, products)


def is_quantized(part: nn.Module) -> bool:
    """An int8 convolution or linear layer of torch's."""
    name, module = type(part).__name__, type(part).__module__
    is_layer = "Packed" not in name and any(word in name for word in ("Conv", "Linear"))
    return is_layer and module.startswith(QUANTIZED)


def _calls(
    module: nn.Module, parts: list[nn.Module], inputs: NetworkInputs
) -> tuple[dict[nn.Module, list[Shape]], set[nn.Module], OutputNames]:
    """The input shapes that each layer was called with, in the order of the first calls; the layers
    whose parameters are used elsewhere; and what of the outputs is compared."""
    calls: dict[nn.Module, list[Shape]] = {}

    def note(part: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        given = args[0] if args else next(iter(kwargs.values()), None)
        if isinstance(given, Tensor):
            calls.setdefault(part, []).append(tuple(given.shape))

    hooks = [part.register_forward_pre_hook(note, with_kwargs=True) for part in parts]
    reads = WeightReads(parts)
    try:
        with torch.no_grad(), reads.inside(module.modules()):
            outputs, _ = find_outputs(module, inputs.example)
    finally:
        for hook in hooks:
            hook.remove()
    return calls, reads.found, outputs


def _use(
    name: str,
    part: nn.Module,
    shapes: list[Shape],
    output_sizes: set[Shape | None],
    otherwise: str,
    batch: int,
) -> LayerUse:
    op = "linear" if isinstance(part, nn.Linear) else conv_op(part) or type(part).__name__
    reason = _unreadable(part) or _badly_called(part, shapes, batch)
    if len(output_sizes) > 1:
        reason = reason or "called with different output sizes"
    if reason := reason or otherwise:
        return LayerUse(name, op, None, reason)
    of_shape = {shape: _spec(part, shape, output_sizes, batch) for shape in shapes}
    calls = tuple(of_shape[shape] for shape in shapes)
    largest = max(calls, key=lambda spec: spec.macs)
    return LayerUse(name, op, largest, calls=calls if len(calls) > 1 else ())


def _spec(part: nn.Module, shape: Shape, output_sizes: set[Shape | None], batch: int) -> LayerSpec:
    if isinstance(part, nn.Linear):
        return _linear_spec(part, shape, batch)
    return conv_spec(part, shape, *output_sizes)


def _unreadable(part: nn.Module) -> str:
    """Return why the layer's kind has no spec, in one phrase; else empty."""
    if is_quantized(part):
        return f"int8 weights ({type(part).__name__})"
    for kind, why in OTHER_LAYERS:
        if isinstance(part, kind):
            return why
    linear = isinstance(part, nn.Linear)
    if "forward" in vars(part):
        return "other code was put in the place of its forward"
    if not (computes_as(part, nn.Linear) if linear else computes_plainly(part)):
        return f"{type(part).__name__} computes in its own way"
    weight = part.weight
    if not isinstance(weight, Tensor) or weight.dtype != torch.float32:
        return f"weights of type {getattr(weight, 'dtype', type(weight).__name__)}"
    return ""


def _badly_called(part: nn.Module, shapes: list[Shape], batch: int) -> str:
    """Return why the way the layer is called has no spec, in one phrase; else empty."""
    if not shapes:
        return "not called in the forward pass"
    return next(filter(None, (_badly_shaped(part, shape, batch) for shape in shapes)), "")


def _badly_shaped(part: nn.Module, shape: Shape, batch: int) -> str:
    if isinstance(part, CONVOLUTIONS) and not _has_batch(part, shape, batch):
        return f"its input {shape} does not have the network's batch"
    if isinstance(part, nn.Linear) and linear_input_shape(shape, batch) is None:
        return f"its input {shape} does not divide by the network's batch"
    return ""


def _has_batch(part: Any, shape: Shape, batch: int) -> bool:
    return len(shape) == 2 + len(part.kernel_size) and shape[0] == batch


def _linear_spec(part: nn.Linear, shape: Shape, batch: int) -> LayerSpec:
    example = linear_input_shape(shape, batch)
    assert example is not None  # _badly_called has looked
    return LayerSpec(
        "linear", part.in_features, part.out_features, example, bias=part.bias is not None
    )
