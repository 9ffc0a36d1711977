"""The original network and its decomposed copy, both as torch modules that can be trained."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from ..errors import ModelError, first_line
from ..models.network import Network, Replacements
from ..models.onnx_to_torch.conversion import Converted
from ..models.torch_network import TorchNetwork
from ..ops.chain import LinkWeights
from ..ops.layouts import turned
from ..sources.module_copies import copied

MIN_SIZE = 1e-3
"""Smallest size of a weight: one that is nearly zero, such as a bias, has to move, too."""


@dataclass(frozen=True, slots=True, eq=False)
class Pair:
    """`original` teaches, `student` learns. `chains`: path of each replaced layer, in both.

    `home` makes a network of the student as it is by then: of the same framework as the
    network that the pair was made of, with the student's weights in place.
    """

    original: nn.Module
    student: nn.Module
    chains: tuple[str, ...]
    home: Callable[[nn.Module], Network]

    def network(self) -> Network:
        return self.home(self.student)


def pair_of(network: Network, replacements: Replacements) -> Pair:
    """Raises `ModelError` that names an ONNX operator torch has no counterpart for."""
    if isinstance(network, TorchNetwork):
        return _torch_pair(network, replacements)
    return _onnx_pair(network, replacements)


def _torch_pair(network: TorchNetwork, replacements: Replacements) -> Pair:
    def home(student: nn.Module) -> Network:
        """A clean copy gets the weights: what a module keeps of a call cannot always be copied,
        and training may have moved the student to another device or type."""
        module = network.replaced(replacements).module
        try:
            module.load_state_dict(student.state_dict())
        except RuntimeError as error:
            raise ModelError(
                f"training has changed the network's parts: {first_line(error)}"
            ) from error
        return TorchNetwork(module, network.source, network.inputs)

    student = network.replaced(replacements).module
    return Pair(copied(network.layered), student, tuple(replacements), home)


def _onnx_pair(network: Any, replacements: Replacements) -> Pair:
    converted = network.to_torch(compared=True)
    _refuse_double_use(converted)
    as_torch = TorchNetwork(converted.module, network.source, network.inputs)
    # What nothing that is compared follows from is no part of the module, and stays as it is.
    paths = {name: path for name, path in converted.names.items() if name in replacements}

    def home(student: nn.Module) -> Network:
        """Weights go back into the file's own graph; nothing is exported through torch."""
        trained = {
            name: (chain, link_weights(student.get_submodule(paths[name])) if name in paths else w)
            for name, (chain, w) in replacements.items()
        }
        chains = tuple(f"{path}." for path in paths.values())
        state = {n: one for n, one in student.state_dict().items() if not n.startswith(chains)}
        changed: Network = network.with_state(converted, state).replaced(trained)
        return changed

    student = as_torch.replaced({path: replacements[name] for name, path in paths.items()}).module
    return Pair(converted.module, student, tuple(paths.values()), home)


def _refuse_double_use(converted: Converted) -> None:
    """Exporters merge equal tensors: what is two things in the module could not be written back
    into one of the file once training has told them apart."""
    state = converted.module.state_dict()
    first: dict[str, str] = {}
    for name, origin in converted.origins.items():
        other = first.setdefault(origin.initializer, name)
        if name in state and state[name].data_ptr() != state[other].data_ptr():
            raise ModelError(
                f"the file holds one tensor, {origin.initializer!r}, for {other} and {name}, which "
                "cannot be trained apart: export the network without merging equal tensors"
            )


def links(chain: nn.Module) -> list[nn.Module]:
    """The chain's convolutions or linear layers, without what only pads."""
    return [part for part in chain.children() if isinstance(getattr(part, "weight", None), Tensor)]


def link_weights(chain: nn.Module) -> tuple[LinkWeights, ...]:
    """Return the weights and biases of a chain's links, as arrays."""
    return tuple(LinkWeights(_weight(part), _bias(part)) for part in links(chain))


def _weight(part: Any) -> NDArray[np.float32]:
    weight = _array(part.weight)
    return turned(weight, part.groups) if getattr(part, "transposed", False) else weight


def _array(tensor: Any) -> NDArray[np.float32]:
    return np.array(tensor.detach().cpu().numpy())


def _bias(part: nn.Module) -> NDArray[np.float32] | None:
    return _array(part.bias) if isinstance(part.bias, Tensor) else None


def parameter_groups(model: nn.Module, chains: Sequence[str]) -> list[dict[str, Any]]:
    """Parameter groups for a torch optimiser: `factors` of the chains, and all the `rest`.

    Only parameters that are trained (`requires_grad`) appear, each once. A group that would be
    empty is left out.
    """
    factors = {id(p): p for path in chains for p in model.get_submodule(path).parameters()}
    groups: Mapping[str, list[nn.Parameter]] = {"factors": [], "rest": []}
    for parameter in model.parameters():
        if parameter.requires_grad:
            groups["factors" if id(parameter) in factors else "rest"].append(parameter)
    return [{"name": name, "params": params} for name, params in groups.items() if params]


def relative_groups(model: nn.Module, chains: Sequence[str]) -> list[dict[str, Any]]:
    """A parameter group for each weight, with its `size`: the root of its mean square.

    Adam moves every number by about its rate, however large it is. The two factors of a chain
    may differ a hundredfold in size, so each is moved by a share of its own.
    """
    groups = parameter_groups(model, chains)
    return [
        {"params": [weight], "size": max(MIN_SIZE, weight.detach().square().mean().sqrt().item())}
        for group in groups
        for weight in group["params"]
    ]
