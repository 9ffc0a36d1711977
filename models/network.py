"""What rankwise asks of a network, whatever it was written in."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from ..errors import BackendError, ModelError, did_you_mean
from ..inputs.examples import Given, NetworkInputs
from ..layering.parameter_accounts import ParameterAccounts
from ..ops.chain import Chain, LinkWeights
from ..records import LayerUse
from .output_rules import OutputNames

if TYPE_CHECKING:
    from .differentiable import Differentiable
    from .moment_sums import Gathered, Wanted

Replacements = Mapping[str, tuple[Chain, Sequence[LinkWeights]]]
"""By layer name: the chain that takes the layer's place, and its weights."""

Outputs = Mapping[str, NDArray[np.float32]]
"""By output name, in the network's order: what is compared of it, (n, ...)."""


class Answering(Protocol):
    """What can be asked for a network's outputs (see `Network.outputs`)."""

    def outputs(self, inputs: Given | Mapping[str, NDArray[Any]]) -> Outputs: ...


class Network(Protocol):
    """A network, read once; never changed in place."""

    @property
    def source(self) -> str:
        """What the user asked for: a zoo name, a path, `package.module:callable`."""
        ...

    @property
    def framework(self) -> Literal["torch", "onnx"]: ...

    @property
    def sha256(self) -> str:
        """SHA-256 of all that decides what it computes; equal wherever the same one is read."""
        ...

    @property
    def earlier_sha256(self) -> str:
        """What `sha256` was before it took in more than structure and weights: plans and stores
        may name the network so."""
        ...

    def as_earlier(self) -> Network:
        """Return itself under `earlier_sha256`, by which what was kept of it then is found."""
        ...

    @property
    def inputs(self) -> NetworkInputs:
        """What it takes: its inputs by name, and one batch of them."""
        ...

    @property
    def input_shape(self) -> tuple[int, ...]:
        """Shape of the first input that has a batch, batch first."""
        ...

    @property
    def layers(self) -> tuple[LayerUse, ...]:
        """Every convolution and linear layer once, in the network's order."""
        ...

    @property
    def notes(self) -> Mapping[str, str]:
        """Remarks for the reader by layer name (a layer used several times)."""
        ...

    @property
    def loading_notes(self) -> Sequence[str]:
        """What the reader should know of how the network was read, a sentence each."""
        ...

    @property
    def accounts(self) -> ParameterAccounts:
        """Where every parameter is, and what products cost."""
        ...

    @property
    def replacements(self) -> Replacements:
        """Chains in the place of layers of `original`."""
        ...

    @property
    def original(self) -> Network:
        """The network that was loaded: this one, unless layers of it were replaced."""
        ...

    def weights(self, name: str) -> tuple[NDArray[Any], NDArray[Any] | None]:
        """Return weight (`LayerSpec.weight_shape`) and bias. Raises `ModelError`."""
        ...

    @property
    def output_names(self) -> OutputNames:
        """Which outputs can be compared, and why others cannot."""
        ...

    def outputs(self, inputs: Given | Mapping[str, NDArray[Any]]) -> Outputs:
        """Return what is compared of every output for inputs (n, ...), by name where there are
        several.

        That is the output itself where it is floating, but the inputs of a Softmax, LogSoftmax,
        Sigmoid, Sort or TopK; of numbers that are not floating, what they were made from. Raises
        `ModelError` where nothing can be compared, or the inputs do not fit.
        """
        ...

    def moments(self, inputs: Given, wanted: Wanted) -> Gathered:
        """Return moments of the named layers' outputs (with bias) or patches, over all pictures.

        At most `moment_sums.MAX_POSITIONS` positions of a picture count. One pass over the
        inputs, unless the sums of all layers do not fit into memory together.
        """
        ...

    def differentiable(self) -> Differentiable:
        """Return itself as a torch module whose answers are what is compared.

        Raises `ModelError` where torch has no counterpart of an operator.
        """
        ...

    def replaced(self, replacements: Replacements) -> Network:
        """Return a copy in which the named layers are chains."""
        ...

    def workload(self, key: str, backend_accepts: Sequence[type], folder: Path) -> Any:
        """Return itself as a workload that the backend takes; files go into `folder`."""
        ...

    def to_onnx(self, path: Path) -> Path: ...

    def save(self, path: Path) -> Path:
        """Write by suffix (`.onnx`, `.safetensors`, `.pt2`), whole or not at all."""
        ...


def only(outputs: Outputs) -> NDArray[np.float32]:
    """Return the array of a network with one output; `ModelError` where there are several."""
    if len(outputs) != 1:
        raise ModelError(f"the network has several outputs: {', '.join(outputs)}")
    return next(iter(outputs.values()))


def known_as(network: Network, sha256: str) -> Network:
    """Return the network under the hash that somebody knows it by: its own, or its earlier one.

    Raises `ModelError` for another network's.
    """
    if sha256 == network.sha256:
        return network
    if sha256 == network.earlier_sha256:
        return network.as_earlier()
    raise ModelError(f"{network.source} is another network ({network.sha256[:12]})")


def layer_named(layers: Sequence[LayerUse], name: str) -> LayerUse:
    """Return the layer of that name; `ModelError` names some that exist."""
    for use in layers:
        if use.name == name:
            return use
    known = ", ".join(use.name for use in layers[:5])
    hint = did_you_mean(name, [use.name for use in layers])
    raise ModelError(f"the network has no layer {name!r}{hint}; it has {known or 'none'}, ...")


def with_finite_weights(network: Network) -> Network:
    """Return the network; `ModelError` names the first of its layers whose weights are not all
    numbers: training has broken it, and no factors can be made of it."""
    for use in network.layers:
        if use.spec is None:
            continue
        for what, array in zip(("weight", "bias"), network.weights(use.name), strict=True):
            if array is not None and not np.isfinite(array).all():
                count = int((~np.isfinite(array)).sum())
                raise ModelError(
                    f"{count} of {array.size} numbers in the {what} of layer {use.name!r} are not "
                    "finite (NaN or infinite)"
                )
    return network


def check_replacements(layers: Sequence[LayerUse], replacements: Replacements) -> None:
    """Raise `ModelError` unless every chain has the shapes of the layer it replaces."""
    for name, (chain, _) in replacements.items():
        spec = layer_named(layers, name).spec
        if spec is None:
            raise ModelError(f"layer {name!r} cannot be replaced")
        if (chain.input_shape, chain.output_shape) != (spec.input_shape, spec.output_shape):
            raise ModelError(
                f"layer {name!r} takes {spec.input_shape} to {spec.output_shape}, "
                f"its replacement {chain.input_shape} to {chain.output_shape}"
            )


def linear_input_shape(shape: Sequence[int], batch: int) -> tuple[int, ...] | None:
    """Return one example's input shape of a linear layer given `shape`, batch included.

    Networks fold the batch into other axes ((N*T, C), (T, N, C)); what counts for the cost is
    the number of rows per example. None if rows do not divide by the batch.
    """
    if len(shape) > 1 and shape[0] == batch:
        return tuple(shape[1:])
    rows = math.prod(shape[:-1])
    return None if rows % batch else (rows // batch, shape[-1])


def choose_workload(
    backend_accepts: Sequence[type], makers: Mapping[str, Callable[[type], Any]]
) -> Any:
    """Return the first of `makers`' workloads whose type, by name, the backend takes.

    By name, because networks do not import backends. Raises `BackendError` if none fits.
    """
    accepted = {kind.__name__: kind for kind in backend_accepts}
    for name, make in makers.items():
        if name in accepted:
            return make(accepted[name])
    raise BackendError("this backend cannot run whole networks of this framework")


def file_name(key: str) -> str:
    """Return a workload's key as part of a file name."""
    return re.sub(r"[^\w.-]+", "_", key)[:80] or "network"
