"""Gradients by the outputs of a network's layers, of what is compared of the network."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.autograd.graph import saved_tensors_hooks
from torch.nn.modules.batchnorm import _NormBase

from ..errors import ModelError, first_line
from ..inputs.calls import ForCall
from ..inputs.examples import Given
from ..layering.torch_convolutions import spec_input
from ..models.batching import batches, workers_for
from ..models.compared import Compared
from ..models.differentiable import Differentiable
from ..models.torch_batches import in_replicas
from ..models.torch_outputs import compared_tensors

Made = TypeVar("Made")

Take = Callable[[Tensor], None]
"""Takes the gradient by the output of one call of a layer."""
Called = Callable[[str, Tensor, Tensor], Take]
"""Is told of a layer's call (its name, input and output, which may be changed in place after it
returns), and returns what takes the gradient in every backward pass."""


MAX_BYTES = 2**30
"""Bytes of what is held of all batches together between their forward and backward passes."""
VALUES_HELD = 6
"""Values held for each one of the layers' outputs: it, its copy as the next layer's input, its
gradient, and what operators between layers keep of theirs."""

Work = Callable[[Differentiable, Given, Mapping[int, int]], Made]
"""Makes something of a batch; the mapping says by row which number the example there has. Other
rows only fill the batch up."""


def by_batch(network: Differentiable, inputs: Given, size: int, work: Work[Made]) -> Iterator[Made]:
    """Yield what `work` makes of the inputs (n, ...), `size` at a time, in order.

    Batches run side by side, each in a replica of the network and with one thread.
    """

    def one(module: nn.Module, batch: tuple[int, tuple[Given, int]]) -> Made:
        number, (part, counted) = batch
        examples = {row: number * size + row for row in range(counted)}
        return work(replace(network, module=module), part, examples)

    room = max(1, MAX_BYTES // (size * bytes_held(network)))
    workers = min(room, workers_for(len(inputs), size))
    return in_replicas(network.module, one, enumerate(batches(inputs, size)), workers)


def bytes_held(network: Differentiable) -> int:
    """Return the bytes that one example takes between its forward and its backward passes."""
    shapes = [call.output_shape for use in network.layers for call in use.every_call]
    return 4 * VALUES_HELD * sum(map(math.prod, shapes), start=1)


@contextmanager
def recorded(
    network: Differentiable,
    inputs: ForCall,
    compared: Compared,
    names: Iterable[str],
    called: Called,
) -> Iterator[Mapping[str, Tensor]]:
    """Run one batch and give its compared parts, by name, from which `pull_back` goes back as long
    as the context lasts.

    Gradients start at the named layers; inputs get none. What backward passes need is copied,
    because networks that were never meant to be trained change such tensors in place. Raises
    `ModelError` if the network does not run.
    """
    with ExitStack() as held:
        for name in names:
            if part := network.part(name):
                hook = part.register_forward_hook(_hook(name, called), with_kwargs=True)
                held.callback(hook.remove)
        for part in network.module.modules():
            if isinstance(part, _NormBase):
                held.callback(part.register_forward_hook(_mend_strides).remove)
        held.enter_context(saved_tensors_hooks(_keeping(network.module), lambda kept: kept))
        held.enter_context(torch.enable_grad())
        yield compared.select(compared_tensors(network.module, inputs))


def pull_back(parts: Mapping[str, Tensor], direction: Mapping[str, Tensor]) -> None:
    """Take one backward pass from a direction of the compared parts: every recorded layer that
    they depend on gets the gradient by its output.

    Raises `ModelError` where torch cannot.
    """
    names = [name for name, part in parts.items() if part.requires_grad]
    if not names:
        return
    try:
        torch.autograd.backward(
            [parts[name] for name in names], [direction[name] for name in names], retain_graph=True
        )
    except RuntimeError as error:
        raise ModelError(
            f"no gradient can be taken through this network: {first_line(error)}"
        ) from error


def require_gradients(found: Iterable[bool]) -> None:
    """Raise `ModelError` unless some layer got a gradient: a network that cuts them off (`detach`)
    looks like one whose layers do not matter."""
    told = list(found)
    if told and not any(told):
        raise ModelError("no gradient of what is compared reaches this network's layers")


def _hook(name: str, called: Called) -> Callable[..., Tensor]:
    """A forward hook that lets gradients of the layer's output reach `called`'s taker."""

    def hook(
        part: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Tensor
    ) -> Tensor:
        if not torch.is_grad_enabled():
            raise ModelError(f"layer {name!r} runs where the network switches gradients off")
        given = args[0] if args else next(iter(kwargs.values()))
        take = called(name, spec_input(part, given.detach()), output.detach())
        if not output.requires_grad:
            # A clone, because what comes next may change it in place, which no leaf allows.
            output = output.detach().requires_grad_().clone()
        output.register_hook(take)  # type: ignore[no-untyped-call]
        return output

    return hook


def _mend_strides(_part: nn.Module, _args: Any, output: Tensor) -> None:
    """A forward hook of normalisations, which compute wrong gradients of a single example from one
    that is laid out like a transposed matrix (torch 2.13, on CPUs)."""
    if output.requires_grad:
        output.register_hook(Tensor.contiguous)  # type: ignore[no-untyped-call]


def _keeping(module: nn.Module) -> Callable[[Tensor], Tensor]:
    """Return what makes of a tensor that is saved for backward passes: a copy, unless it is a
    weight, or one turned round."""
    weights = {one.untyped_storage().data_ptr() for one in module.parameters()}

    def kept(tensor: Tensor) -> Tensor:
        held = tensor.untyped_storage().data_ptr() in weights
        return tensor if held else tensor.detach().clone()

    return kept
