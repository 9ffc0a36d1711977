"""ONNX to torch: the graph as a `torch.fx.GraphModule` of plain torch modules.

Layers become `nn.Conv2d`, `nn.Linear` and the like under their ONNX names, so that a plan made
for the file applies to the module, too. What depends on the input's shape only is worked out once.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from onnx import ModelProto, TensorProto, numpy_helper
from torch import nn

from ...errors import ModelError, first_line
from ...inputs.examples import Given, NetworkInputs, Takes, inputs_of
from ..fidelity import relative_error
from ..network import Outputs
from ..onnx_layers import find_layers
from ..onnx_rewrite import needed_for
from ..torch_batches import outputs as module_outputs
from . import elementwise, layers, reductions, resize, shapes
from .constants import shape_constants, tensor_shapes
from .graph import Builder, Origin

SAFE_PART = re.compile(r"[A-Za-z0-9_/:+\-]+")
"""Parts of names that a module may have. Others are replaced: torch.fx writes names into Python
source, and a file's names are nobody's to trust."""
MAX_DIFFERENCE = 1e-2
"""Relative difference of file and module that is refused; rounding made at most 1e-5."""
FAMILIES = (layers, elementwise, reductions, shapes, resize)
OPERATORS = {name: make for family in FAMILIES for name, make in family.OPERATORS.items()}
"""The operators that are converted. Shape, Size, ConstantOfShape, Range and the like are not here:
they are worked out before, for the input's shape."""
KNOWN = frozenset(OPERATORS) | {"Shape", "Size", "ConstantOfShape", "Range", "Equal", "Constant"}


@dataclass(frozen=True, slots=True, eq=False)
class Converted:
    """A module and where its parts come from.

    `names`: the module's path of each ONNX layer, which is the layer's own name unless torch
    cannot have it. `origins`: by name in `module.state_dict()`, the initializer it was made of.
    """

    module: nn.Module
    names: Mapping[str, str]
    origins: Mapping[str, Origin]


def to_torch_module(
    model: ModelProto, takes: Takes, outputs: Mapping[str, str] | None = None
) -> Converted:
    """A normalised model (see `onnx_file.normalised`) as a module in eval mode.

    `outputs`: the tensors to give back by the names of the outputs that they stand for, by
    default the graph's; one comes as a tensor, several as a tuple. What is not needed for them is
    not converted. Raises `ModelError` with the operator's name where there is no counterpart.
    """
    wanted = outputs or {output.name: output.name for output in model.graph.output}
    model = needed_for(model, wanted.values())
    _refuse_unknown(model)
    names = {layer.output: layer.name for layer in find_layers(model.graph)}
    shapes = tensor_shapes(model, inputs_of(takes))
    paths = _module_paths(list(names.values()))
    builder = Builder(model, shapes, shape_constants(model, shapes), paths, names)
    for node in builder.nodes():
        if node.op_type not in OPERATORS:
            raise ModelError(f"the ONNX operator {node.op_type} depends on the network's input")
        builder.convert(node, OPERATORS[node.op_type])
    try:
        return Converted(builder.finish(wanted), builder.paths, builder.origins)
    except (RuntimeError, ValueError) as error:
        raise ModelError(f"torch cannot build this network: {first_line(error)}") from error


def check_answers(
    module: nn.Module,
    outputs: Callable[[Given], Outputs],
    inputs: NetworkInputs,
) -> None:
    """Raise `ModelError` where one of the module's outputs is not the file's, on noise.

    `outputs` are the file's, as `Network.outputs`. A student of a wrong teacher looks right to
    it; a mistake in a converter must not pass unseen.
    """
    noise = inputs.noise(inputs.batch, seed=0)
    wanted, given = outputs(noise), module_outputs(module, noise, inputs.batch)
    if wanted.keys() != given.keys():
        raise ModelError(
            f"as a torch module the network answers {', '.join(given)}, not {', '.join(wanted)}"
        )
    for name, one in wanted.items():
        _check_answer(one, given[name])


def _check_answer(wanted: NDArray[np.float32], given: NDArray[np.float32]) -> None:
    if wanted.shape != given.shape:
        raise ModelError(f"as a torch module the network answers {given.shape}, not {wanted.shape}")
    difference = relative_error(wanted, given)
    if difference > MAX_DIFFERENCE:
        raise ModelError(
            f"as a torch module the network answers otherwise than the file (relative error "
            f"{difference:.2g}): an operator is converted wrongly"
        )


def _refuse_unknown(model: ModelProto) -> None:
    unknown = sorted(
        {
            f"{node.domain}.{node.op_type}" if node.domain else node.op_type
            for node in model.graph.node
            if node.op_type not in KNOWN or node.domain not in ("", "ai.onnx")
        }
    )
    if unknown:
        raise ModelError(f"no torch counterpart for the ONNX operator {', '.join(unknown)}")


def _module_paths(names: Sequence[str]) -> dict[str, str]:
    """Return a module path for each layer name: the name itself wherever torch can have it."""
    inner = {name[:dot] for name in names for dot in range(len(name)) if name[dot] == "."}
    taken = {name for name in names if _is_path(name) and name not in inner}
    paths = {name: name for name in taken}
    for name in names:
        if name not in paths:
            paths[name] = _free(re.sub(r"[^A-Za-z0-9_]", "_", name) or "layer", taken | inner)
            taken.add(paths[name])
    return {name: paths[name] for name in names}


def _is_path(name: str) -> bool:
    return all(SAFE_PART.fullmatch(part) and not _is_torchs(part) for part in name.split("."))


def _is_torchs(part: str) -> bool:
    """Return whether modules have an attribute of that name already."""
    return part == "meta" or hasattr(nn.Module(), part) or hasattr(torch.fx.GraphModule, part)


def _free(name: str, taken: set[str]) -> str:
    while name in taken or _is_torchs(name):
        name += "_"
    return name


def with_state(
    model: ModelProto, origins: Mapping[str, Origin], state: Mapping[str, torch.Tensor]
) -> ModelProto:
    """Return a copy of the model whose initializers hold the module's state again.

    `state` may lack names: their initializers stay as they are.
    """
    result = ModelProto()
    result.CopyFrom(model)
    arrays = {
        origins[name].initializer: origins[name].array(tensor)
        for name, tensor in state.items()
        if name in origins
    }
    for tensor in result.graph.initializer:
        if tensor.name in arrays:
            tensor.CopyFrom(_as_tensor(arrays[tensor.name], tensor))
    return result


def _as_tensor(array: NDArray[np.float32], like: TensorProto) -> TensorProto:
    dims = tuple(like.dims)
    if int(np.prod(dims, dtype=np.int64)) == array.size:
        array = array.reshape(dims)
    return numpy_helper.from_array(np.ascontiguousarray(array), like.name)
