"""Building a `torch.fx.GraphModule` node by node."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto
from torch import Tensor, fx, nn

from ...errors import ModelError
from ..onnx_file import opset
from ..onnx_layers import attributes
from ..torch_outputs import OUTPUT_NAMES

Shape = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Origin:
    """The initializer that a parameter or buffer was made of."""

    initializer: str
    transposed: bool = False

    def array(self, tensor: Tensor) -> NDArray[np.float32]:
        """Return the tensor in the initializer's own layout."""
        array = tensor.detach().cpu().numpy()
        return np.ascontiguousarray(array.T if self.transposed else array, dtype=np.float32)


class Builder:
    """Collects the nodes, modules and constants of one network.

    Converters call `value` for what flows, `constant` for what is known, and return what
    `call` or `layer` made.
    """

    def __init__(
        self,
        model: ModelProto,
        shapes: Mapping[str, Shape],
        constants: Mapping[str, NDArray[Any]],
        paths: Mapping[str, str],
        layers: Mapping[str, str],
    ) -> None:
        self.model, self.shapes, self.constants = model, shapes, constants
        self.paths, self.origins = dict(paths), dict[str, Origin]()
        self.opset = opset(model)
        self._layers, self._root, self._graph = layers, nn.Module(), fx.Graph()
        self._initializers = {tensor.name for tensor in model.graph.initializer}
        self._makers = {output: node for node in model.graph.node for output in node.output}
        self._tied: dict[Origin, nn.Parameter] = {}
        self._held: dict[str, fx.Node] = {}
        self._used: set[str] = set()
        # Made-up names, because torch.fx writes them into source, and renames "input" to "input_1".
        self._values: dict[str, Any] = {
            value.name: self._graph.placeholder(f"other_{place}" if place else "input")
            for place, value in enumerate(model.graph.input)
        }

    def nodes(self) -> Iterator[NodeProto]:
        """Yield the nodes that have to run, without those whose outputs are constant."""
        for node in self.model.graph.node:
            if not all(output in self.constants for output in node.output if output):
                yield node

    def convert(self, node: NodeProto, converter: Callable[[Call], Any]) -> None:
        """Let `converter` write the node. Raises `ModelError` with the operator's name."""
        try:
            made = converter(Call(self, node))
        except Refusal as refusal:
            raise ModelError(
                f"the ONNX operator {node.op_type} ({node.name or node.output[0]}) has no torch "
                f"counterpart here: {refusal}"
            ) from None
        outputs = [name for name in node.output if name]
        several = made if isinstance(made, list) else [made]
        self._values |= dict(zip(outputs, several, strict=False))

    def value(self, name: str) -> Any:
        """Return the node that makes the tensor of that name, or a buffer with the constant."""
        if name in self._values:
            return self._values[name]
        if name not in self.constants:
            raise Refusal(f"its input {name} is a second output that is not converted")
        if name not in self._held:
            self._held[name] = self._buffer(name)
        return self._held[name]

    def parameter(self, name: str, transposed: bool = False) -> nn.Parameter:
        """Return the initializer as a parameter; the same one wherever it is used."""
        origin = Origin(name, transposed)
        if origin not in self._tied:
            array = self.constants[name].T if transposed else self.constants[name]
            self._tied[origin] = nn.Parameter(torch.from_numpy(np.array(array, order="C")))
        return self._tied[origin]

    def _buffer(self, name: str) -> fx.Node:
        tensor = torch.from_numpy(np.array(self.constants[name], order="C"))
        path = self._free(f"constant_{len(self._held)}")
        self._root.register_buffer(path, tensor)
        return self._graph.get_attr(path)

    def stored(self, name: str) -> bool:
        """Return whether the file holds the tensor, so that it can be written back."""
        return name in self._initializers

    def call(self, function: Callable[..., Any], *operands: Any, **settings: Any) -> fx.Node:
        return self._graph.call_function(function, operands, settings)

    def layer(self, node: NodeProto, module: nn.Module, operand: Any, **origins: Origin) -> Any:
        """Add a module that takes one operand, under the layer's name or one made up for it."""
        path = self.paths.get(self._layers.get(node.output[0], ""), "")
        path = path or self._free(f"{node.op_type.lower()}_{len(self._used)}")
        self._used.add(path)
        _place(self._root, path, module)
        self.origins |= {
            f"{path}.{name}": origin
            for name, origin in origins.items()
            if origin.initializer in self._initializers
        }
        return self._graph.call_module(path, (operand,))

    def made_by(self, name: str) -> str:
        """Return the operator that makes a tensor; empty for inputs and constants."""
        node = self._makers.get(name)
        return node.op_type if node is not None else ""

    def _free(self, path: str) -> str:
        taken = {name.split(".")[0] for name in self.paths.values()}
        while path in taken or hasattr(self._root, path):
            path += "_"
        return path

    def finish(self, outputs: Mapping[str, str]) -> nn.Module:
        """Return the module that answers the tensors in `outputs`, and knows the names that they
        are given there."""
        values = [self.value(tensor) for tensor in outputs.values()]
        self._graph.output(values[0] if len(values) == 1 else tuple(values))
        module = fx.GraphModule(self._root, self._graph, "OnnxGraph")
        module.meta[OUTPUT_NAMES] = tuple(outputs)
        module.graph.eliminate_dead_code()
        module.delete_all_unused_submodules()
        module.recompile()
        return module.eval()


def _place(root: nn.Module, path: str, module: nn.Module) -> None:
    """Put the module at a dotted path, with plain modules on the way."""
    *way, last = path.split(".")
    for part in way:
        if not hasattr(root, part):
            setattr(root, part, nn.Module())
        root = getattr(root, part)
    setattr(root, last, module)


class Refusal(Exception):
    """Why a node cannot be converted, in one phrase."""


class Call:
    """One ONNX node as a converter sees it."""

    def __init__(self, builder: Builder, node: NodeProto) -> None:
        self.builder, self.node, self.opset = builder, node, builder.opset
        self.given = attributes(node)

    def has(self, index: int) -> bool:
        return len(self.node.input) > index and bool(self.node.input[index])

    def __getitem__(self, index: int) -> Any:
        """Return the input's node."""
        return self.builder.value(self.node.input[index])

    def operands(self) -> list[Any]:
        return [self.builder.value(name) for name in self.node.input if name]

    def known(self, index: int) -> NDArray[Any] | None:
        """Return the input's value if it is constant."""
        return self.builder.constants.get(self.node.input[index]) if self.has(index) else None

    def constant(self, index: int, what: str) -> NDArray[Any]:
        """Return the input's value; one that is computed is refused."""
        value = self.known(index)
        if value is None:
            raise Refusal(f"its {what} is computed")
        return value

    def numbers(self, name: str, index: int | None = None) -> list[int] | None:
        """Return integers that are an attribute in old opsets and an input in new ones."""
        if name in self.given:
            value = self.given[name]
            return [int(n) for n in (value if isinstance(value, (list, tuple)) else [value])]
        if index is not None and self.has(index):
            return [int(n) for n in np.atleast_1d(self.constant(index, name))]
        return None

    def shape(self, index: int = 0) -> Shape:
        return self.builder.shapes[self.node.input[index]]

    def output_shape(self) -> Shape:
        return self.builder.shapes[self.node.output[0]]

    def run(self, function: Callable[..., Any], *operands: Any, **settings: Any) -> Any:
        return self.builder.call(function, *operands, **settings)


Converter = Callable[[Call], Any]
"""Takes one ONNX node and returns what `Call.run` or `Builder.layer` made of it."""


class Operators(dict[str, Converter]):
    """The converters of one family, by ONNX operator."""

    def converts(self, *names: str) -> Callable[[Converter], Converter]:
        """Register the decorated converter under the operators' names."""

        def register(converter: Converter) -> Converter:
            self.update(dict.fromkeys(names, converter))
            return converter

        return register
