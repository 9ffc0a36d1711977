"""A float network in the form that the quantiser takes: a new enough opset, shapes inferred,
constants and normalisation folded, every node named, and what is compared among the outputs."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import onnx
from onnx import ModelProto, NodeProto, ValueInfoProto, version_converter

from ..errors import ModelError, first_line
from ..models.onnx_file import every_graph, opset
from ..models.onnx_layers import OnnxLayer
from ..models.onnx_storage import is_large

FIRST_OPSET = 13
"""From which on a weight can have a scale for each of its channels."""
INTEGER = ("QLinear", "QuantizeLinear", "ConvInteger", "MatMulInteger", "MatMulNBits", "QGemm")
"""How the types of nodes are called that a quantised network has."""


def check_float(model: ModelProto) -> None:
    """Raise `ModelError` for a network that is quantised already, or too large to be."""
    for graph in every_graph(model.graph):
        for node in graph.node:
            if any(part in node.op_type for part in INTEGER):
                raise ModelError(
                    f"the network is quantised already (it has a {node.op_type}): give the one in "
                    "float32 that it was made from"
                )
    if is_large(model):
        raise ModelError(
            "the network has more than 2 GiB of weights, which ONNX Runtime's quantiser cannot read"
        )


def prepared(model: ModelProto, layers: Iterable[OnnxLayer], compared: Iterable[str]) -> ModelProto:
    """Return the network as the quantiser takes it, with the compared tensors as outputs, so that
    they keep their names. Layers' nodes have the layers' names.

    Raises `ModelError` where the opset cannot be made new enough, or ONNX Runtime refuses it.
    """
    made = ModelProto()
    made.CopyFrom(model)
    names = {layer.output: layer.name for layer in layers}
    _name(made.graph.node, names)
    made = _converted(made)
    known = {value.name for value in made.graph.output}
    made.graph.output.extend(
        ValueInfoProto(name=name) for name in dict.fromkeys(compared) if name not in known
    )
    made = _preprocessed(made)
    _name(made.graph.node, {})
    _without_spare_domains(made)
    return made


def _without_spare_domains(model: ModelProto) -> None:
    """Take out the domains that ONNX Runtime adds and no node is of: other readers refuse them."""
    used = {node.domain for graph in every_graph(model.graph) for node in graph.node} | {""}
    kept = [one for one in model.opset_import if one.domain in used]
    del model.opset_import[:]
    model.opset_import.extend(kept)


def _name(nodes: Iterable[NodeProto], names: dict[str, str]) -> None:
    """Give every node a name of its own: the quantiser is told by name what to leave."""
    taken: set[str] = set(names.values())
    for number, node in enumerate(nodes):
        own = next((names[one] for one in node.output if one in names), "")
        if not own:
            own = node.name or f"{node.op_type}_{number}"
            while own in taken:
                own += "_"
        taken.add(own)
        node.name = own


def _converted(model: ModelProto) -> ModelProto:
    if opset(model) >= FIRST_OPSET:
        return model
    try:
        return version_converter.convert_version(model, FIRST_OPSET)
    except Exception as error:  # of many kinds
        raise ModelError(
            f"the network is in opset {opset(model)} and cannot be converted to {FIRST_OPSET}, "
            f"which int8 weights need: {first_line(error)}"
        ) from error


def _preprocessed(model: ModelProto) -> ModelProto:
    from onnxruntime.quantization.shape_inference import quant_pre_process

    with tempfile.TemporaryDirectory(prefix="rankwise-") as folder:
        read, written = Path(folder) / "read.onnx", Path(folder) / "written.onnx"
        onnx.save(model, read)
        try:
            with quiet():
                quant_pre_process(read, written, skip_symbolic_shape=True)
            return onnx.load(written)
        except Exception as error:  # of many kinds
            raise ModelError(
                f"ONNX Runtime cannot prepare this network for int8: {first_line(error)}"
            ) from error


@contextmanager
def quiet() -> Iterator[None]:
    """Hide what the quantiser logs."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(before)
