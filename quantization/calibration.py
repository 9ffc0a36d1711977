"""A network made ready to be quantised, and what its tensors hold on the fit split.

    ready = Ready.of(network, pictures)
    ready.quantised(PLAIN)               # as ONNX Runtime's quantiser does it
    ready.quantised(balanced_by(ready))  # channels balanced

Everything that runs the network is done once, so that another recipe costs a second or two.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
from onnx import ModelProto

from ..errors import ModelError
from ..inputs.examples import Given
from ..models.batching import results, spread
from ..models.exported import as_onnx
from ..models.network import Network
from ..models.onnx_network import OnnxNetwork
from ..models.onnx_session import TensorSession
from ..models.output_groups import size_groups
from ..models.pictures import Calibration
from ..reporter import Listeners, Reporter
from .balancing import balanced
from .integer_kernels import left_in_float
from .middle_channels import ChannelRanges, seen
from .preparation import check_float, prepared
from .products import behind_products, is_product, last_products, middles
from .recipe import Recipe
from .static_quantiser import Ranges, calibrated, quantised

EXAMPLES = 32
"""Most examples that ranges are taken from, evenly spread over the fit split's."""


@dataclass(frozen=True, slots=True, eq=False)
class Ready:
    """`network` in float; `model` as the quantiser takes it; `ranges` of its tensors and `middles`,
    what those between products hold, both on the fit split; `tail`: the nodes that no quantiser
    touches, because boxes and scores would share a scale there."""

    network: OnnxNetwork
    model: ModelProto
    ranges: Ranges
    middles: Mapping[str, ChannelRanges]
    tail: frozenset[str]

    @classmethod
    def of(
        cls,
        network: Network,
        pictures: Calibration,
        reporter: Reporter | None = None,
        dynamic_batch: bool = False,
    ) -> Ready:
        """Raises `ModelError` for a network that is quantised already or cannot be quantised,
        `CalibrationError` without pictures."""
        own = as_onnx(network, reporter or Listeners(()), dynamic_batch)
        check_float(own.model)
        compared = own.compared[1].values()
        model = prepared(own.model, own.nodes, compared)
        fit, batch = spread(pictures.fit, EXAMPLES), own.inputs.batch
        ranges = calibrated(model, fit, batch)
        held = seen(model, middles(model.graph), fit, batch)
        tail = {node.name for node in behind_products(model)}
        return cls(own, model, ranges, held, frozenset(tail | _mixed_outputs(model, fit, batch)))

    def quantised(self, recipe: Recipe) -> OnnxNetwork:
        """Return the network in int8 by this recipe. Products for which ONNX Runtime has no integer
        kernel stay in float, instead of being dequantised each time.

        Raises `ModelError` where the quantiser refuses it, or nothing is left to quantise.
        """
        factors = {
            tensor: self.middles[tensor].factors(power)
            for tensor, power in recipe.powers.items()
            if power
        }
        model = balanced(self.model, factors)
        changed = {name: self.middles[name].together(q) for name, q in factors.items()}
        ranges = _widened({**self.ranges, **changed}, recipe.margin, self.model)
        in_float = self.tail | nodes_of(self.model, recipe.in_float)
        made = quantised(model, ranges, in_float)
        if slow := left_in_float(made):
            made = quantised(model, ranges, in_float | slow)
        if not any(node.op_type == "DequantizeLinear" for node in made.graph.node):
            raise ModelError(
                "ONNX Runtime's quantiser finds nothing in this network that it can compute in int8"
            )
        return self.network.in_graph(_with_outputs(made, self.network.model))


def _widened(ranges: Ranges, margin: float, model: ModelProto) -> Ranges:
    """Return wider ranges, save for the inputs: preprocessing says how far those go."""
    inputs = {value.name for value in model.graph.input}
    return {
        name: (low, high) if name in inputs else (low * margin, high * margin)
        for name, (low, high) in ranges.items()
    }


def nodes_of(model: ModelProto, layers: Iterable[str]) -> frozenset[str]:
    """Return the names of the products that layers are made of: a layer's own node, its links, or
    what a torch exporter made of them, whose weights keep the layer's name."""
    names = tuple(layers)
    begins = tuple(f"{name}/" for name in names), tuple(f"{name}." for name in names)
    return frozenset(
        node.name
        for node in filter(is_product, model.graph.node)
        if node.name in names
        or node.name.startswith(begins[0])
        or node.input[1].startswith(begins[1])
    )


def _mixed_outputs(model: ModelProto, inputs: Given, batch: int) -> set[str]:
    """Names of last products whose channels fall into groups of very different sizes, as one scale
    for all of them would make zeros of the small ones."""
    last = last_products(model)
    if not last:  # without a name the runtime answers all outputs
        return set()
    session = TensorSession(model, [node.output[0] for node in last])
    found = [arrays for arrays, _ in results(session.run, inputs, batch)]
    outputs = map(np.concatenate, zip(*found, strict=True))
    return {node.name for node, one in zip(last, outputs, strict=True) if size_groups(one)}


def _with_outputs(model: ModelProto, like: ModelProto) -> ModelProto:
    """The model with the outputs of another, without those that were added to keep their names."""
    names = {value.name for value in like.graph.output}
    kept = [value for value in model.graph.output if value.name in names]
    del model.graph.output[:]
    model.graph.output.extend(kept)
    return model
