"""Whole networks run on a device to see what they answer there, in a policy's type; not timed."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..backends.base import Backend, FileWorkload, ModuleWorkload, Runner, Workload
from ..errors import BackendError
from ..inputs.examples import Examples, Given
from ..models.batching import batches, joined
from ..models.network import Network, Outputs
from ..records import MeasurementPolicy
from ..reporter import Listeners

KEY = "outputs"


@dataclass(frozen=True, slots=True, eq=False)
class OnDevice:
    """A network, as it answers on the backend under the policy: what is compared of its outputs,
    with the rounding of the policy's type."""

    network: Network
    backend: Backend
    policy: MeasurementPolicy

    def outputs(self, inputs: Given | Mapping[str, NDArray[Any]]) -> Outputs:
        """As `Network.outputs`. Raises `MeasurementError` where the backend cannot run it."""
        given, size = self.network.inputs.taken(inputs), self.network.inputs.batch
        with tempfile.TemporaryDirectory(prefix="rankwise-") as folder:
            workload, policy = _workload(self.network, self.backend, Path(folder)), self.policy
            if isinstance(workload, ModuleWorkload):
                policy = replace(policy, execution="eager")  # what is compared lies inside
            with closing(self.backend.prepare(workload, policy)) as runner:
                names = self.network.output_names.compared
                return joined(_computed(runner, names, given, size), size)


def _computed(
    runner: Runner, names: tuple[str, ...], inputs: Given, size: int
) -> Iterator[tuple[Outputs, int]]:
    for part, counted in batches(inputs, size):
        found = runner.compute(part.arrays if isinstance(part, Examples) else [part])
        yield {n: np.asarray(a, np.float32) for n, a in zip(names, found, strict=True)}, counted


def _workload(network: Network, backend: Backend, folder: Path) -> Workload:
    """What is timed of the network, but for its outputs, in the place of which what is compared
    stands. Raises `BackendError` where the backend runs no networks."""
    as_module = ModuleWorkload in backend.accepts
    if FileWorkload in backend.accepts and not (as_module and network.framework == "torch"):
        return _file(network, folder / "network.onnx")
    if as_module:
        return _module(network)
    raise BackendError(f"{backend.name} cannot run whole networks of this framework")


def _file(network: Network, path: Path) -> FileWorkload:
    from ..models.exported import as_onnx

    file = as_onnx(network, Listeners(())).answering_compared().to_onnx(path)
    return FileWorkload(KEY, file, *network.inputs.for_workload)


def _module(network: Network) -> ModuleWorkload:
    from ..models.compared_module import ComparedModule
    from ..models.onnx_network import OnnxNetwork
    from ..models.torch_network import TorchNetwork
    from ..sources.module_copies import folded

    if isinstance(network, OnnxNetwork):
        module = network.to_torch(compared=True).module
    else:
        assert isinstance(network, TorchNetwork)
        module = folded(network.module)
    made = ComparedModule(module, network.inputs).eval()
    return ModuleWorkload(KEY, made, *network.inputs.for_workload)
