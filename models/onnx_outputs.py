"""Which tensors of an ONNX graph its outputs are compared by; the same rule as in `torch_outputs`.

An output that is not floating stands for the floating tensors that it was made from; the inputs of
Softmax, LogSoftmax, Sigmoid and TopK are compared in the place of what these give.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import onnx
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, helper

from .onnx_storage import without_graph_body, without_weights
from .output_rules import OutputNames, judged, named, unlike

LOOKED_THROUGH = frozenset({"Softmax", "LogSoftmax", "Sigmoid", "TopK"})
REARRANGED = frozenset(
    {"Cast", "Flatten", "Identity", "Reshape", "Squeeze", "Transpose", "Unsqueeze"}
)
"""Operators of which the result has the numbers of their first input, maybe of another type."""
OF_SHAPES = frozenset({"Shape", "Size"})
FLOATING = frozenset(
    {TensorProto.FLOAT, TensorProto.FLOAT16, TensorProto.BFLOAT16, TensorProto.DOUBLE}
)


class OutputOrigins:
    """The floating tensors that the tensors of a normalised graph are compared by."""

    def __init__(self, model: ModelProto) -> None:
        self._makers = {name: node for node in model.graph.node for name in node.output if name}
        self._constants = {tensor.name for tensor in model.graph.initializer}
        self._types = element_types(model)
        self._outputs = [output.name for output in model.graph.output]
        self._known: dict[str, tuple[str, ...]] = {}

    @property
    def candidates(self) -> list[str]:
        """All tensors that may be compared: floating outputs, and what stands for outputs."""
        floating = [name for name in self._outputs if self.is_floating(name)]
        return unique([*floating, *(one for name in self._outputs for one in self.of(name))])

    def compared(
        self, values: Mapping[str, NDArray[Any]], batch: int
    ) -> tuple[OutputNames, dict[str, str]]:
        """Return which outputs are compared, and the tensors that stand for them, by name.

        `values`: the candidates' for some input of `batch` examples.
        """
        stands: list[tuple[str, bool, Sequence[str]]] = []
        refused: dict[str, str] = {}
        for name in self._outputs:
            made_of = self._with_batch(name, values, batch)
            if not made_of or any(values[one].dtype.kind != "f" for one in made_of):
                refused[name], made_of = unlike(self._type_name(name)), ()
            stands.append((name, self.is_floating(name), made_of))
        found = named(stands, str)
        names = judged({name: values[one].shape for name, one in found.items()}, batch, refused)
        return names, {name: found[name] for name in names.compared}

    def _with_batch(
        self, name: str, values: Mapping[str, NDArray[Any]], batch: int
    ) -> Sequence[str]:
        """Return what stands for an output: itself where only it has the batch first."""
        made_of = self.of(name)
        if self.is_floating(name) and any(values[one].shape[:1] != (batch,) for one in made_of):
            return (name,)
        return made_of

    def of(self, name: str) -> tuple[str, ...]:
        """Return the names of the tensors that stand for this one: mostly its own."""
        if name not in self._known:
            self._known[name] = self._find(name)
        return self._known[name]

    def is_floating(self, name: str) -> bool:
        """Return whether a tensor holds floating numbers, as far as its type is known."""
        return self._types.get(name, TensorProto.FLOAT) in FLOATING

    def _find(self, name: str) -> tuple[str, ...]:
        maker = self._makers.get(name)
        if not self.is_floating(name):
            return self._inputs_of(maker) if maker is not None else ()
        start = name
        while maker is not None and maker.op_type in REARRANGED:
            start = maker.input[0]
            maker = self._makers.get(start)
        if not self.is_floating(start):
            return self.of(start)
        if maker is not None and maker.op_type in LOOKED_THROUGH:
            return self.of(maker.input[0])
        return (name,)

    def _inputs_of(self, node: NodeProto) -> tuple[str, ...]:
        """Return what stands for all that the node computes with, each once."""
        if node.op_type in OF_SHAPES:
            return ()
        names = [name for name in node.input if name and name not in self._constants]
        return tuple(unique(one for name in names for one in self.of(name)))

    def _type_name(self, name: str) -> str:
        """Return the type of a tensor's numbers as one word."""
        return str(TensorProto.DataType.Name(self._types.get(name, 0))).lower()


def unique(names: Iterable[str]) -> list[str]:
    """Return each name once, in the order in which they come."""
    return list(dict.fromkeys(names))


def element_types(model: ModelProto) -> dict[str, int]:
    """Return the types of the tensors' numbers, as far as ONNX can infer them.

    Weights are declared as inputs and not copied, since their types are all that is needed.
    """
    graph = onnx.shape_inference.infer_shapes(without_weights(model)).graph
    values = [*graph.input, *graph.value_info, *graph.output]
    return {value.name: value.type.tensor_type.elem_type for value in values}


def with_outputs(model: ModelProto, tensors: Sequence[str]) -> ModelProto:
    """Return the model with these float32 tensors as its only outputs, in this order; one may be
    there several times, or be an output or an input already."""
    made = without_graph_body(model)
    made.graph.initializer.extend(model.graph.initializer)
    made.graph.node.extend(model.graph.node)
    del made.graph.output[:]
    for number, tensor in enumerate(tensors):
        name = f"rankwise/compared/{number}"
        made.graph.node.append(helper.make_node("Identity", [tensor], [name], name))
        made.graph.output.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, None))
    return made
