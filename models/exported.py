"""Any network as an ONNX graph that answers what it answers, under the same names."""

from __future__ import annotations

import tempfile
from pathlib import Path

from ..errors import ModelError
from ..integrity.checked_files import difference
from ..reporter import Reporter
from .network import Network
from .onnx_network import OnnxNetwork
from .output_rules import OutputNames
from .saving import save_network

CLOSE = 1e-3
"""Relative difference that exporters' reordered sums may make."""


def as_onnx(network: Network, reporter: Reporter, dynamic_batch: bool = False) -> OnnxNetwork:
    """Return the network itself, or, of a torch module, what `save_network` writes of it.

    What is compared has the network's own names. Raises `ModelError` where it cannot be exported,
    or the file's outputs are others.
    """
    if isinstance(network, OnnxNetwork):
        return network
    with tempfile.TemporaryDirectory(prefix="rankwise-") as folder:
        file = save_network(network, Path(folder) / "network.onnx", dynamic_batch, reporter)
        inputs = network.inputs
        shape = network.input_shape if inputs.plain else None
        made = OnnxNetwork.load(file, input_shape=shape, inputs=inputs.asked)
    made.source = network.source
    found, tensors = made.compared
    names = network.output_names
    if len(names.compared) != len(found.compared):
        raise ModelError(
            f"the exported file has other outputs to compare ({', '.join(found.compared)}) than "
            f"the network ({', '.join(names.compared)})"
        )
    made.compared = (
        OutputNames(names.compared, found.left_out),
        dict(zip(names.compared, tensors.values(), strict=True)),
    )
    _check(network, made)
    return made


def _check(network: Network, exported: OnnxNetwork) -> None:
    noise = network.inputs.noise(network.inputs.batch, seed=0)
    wanted, given = network.outputs(noise), exported.outputs(noise)
    for name, output in wanted.items():
        if not difference(output, given[name]) <= CLOSE:
            raise ModelError(f"the exported file's output {name} is not what the network answers")
