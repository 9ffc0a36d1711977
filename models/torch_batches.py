"""A torch module's outputs for many inputs, in batches it takes."""

from __future__ import annotations

import copy
import io
import math
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, redirect_stderr
from functools import partial
from queue import SimpleQueue
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from ..errors import ModelError, first_line
from .batching import batches, joined, outputs_of, workers_for
from .network import Outputs
from .torch_outputs import compared_tensors
from .workers import in_order

FloatArray = NDArray[np.float32]
Given = TypeVar("Given")
Made = TypeVar("Made")

BATCH = 4
"""Examples that go through a module at once to see its outputs, where it takes so many: larger
batches gain nothing on a processor's core, and each thread holds one."""
MAX_NUMBERS = 1_000_000
"""Numbers in the inputs of such a batch: 4 MB, and some twenty to a hundred times that inside."""
ALIKE = 1e-3
"""Relative difference up to which an answer is the same: rounding made at most 1e-5."""


def outputs(module: nn.Module, inputs: FloatArray, batch: int) -> Outputs:
    """Return the module's outputs for all inputs, (n, ...), as `Network.outputs` does.

    Several batches run side by side. Not in inference mode: what a module keeps of a call
    (position grids, masks) may be part of a training step later.
    """
    if len(inputs) <= batch:
        return outputs_of(partial(_outputs, module), inputs, batch)

    def work(one: nn.Module, part: tuple[FloatArray, int]) -> tuple[Outputs, int]:
        return _outputs(one, part[0]), part[1]

    parts = batches(inputs, batch)
    return joined(in_replicas(module, work, parts, workers_for(len(inputs), batch)), batch)


def _outputs(module: nn.Module, inputs: FloatArray) -> Outputs:
    return {name: one.numpy() for name, one in _tensors(module, torch.from_numpy(inputs)).items()}


def _tensors(module: nn.Module, inputs: Tensor) -> dict[str, Tensor]:
    with torch.no_grad():
        found = compared_tensors(module, inputs)
    return {name: tensor.float() for name, tensor in found.items()}


def in_replicas(
    module: nn.Module,
    work: Callable[[nn.Module, Given], Made],
    items: Iterable[Given],
    workers: int,
) -> Iterator[Made]:
    """Yield what `work` makes of each item, in order, as `workers.in_order` does: in threads that
    compute with one thread each, every one with a replica of the module to itself."""
    replicas: SimpleQueue[nn.Module] = SimpleQueue()
    for _ in range(workers):
        replicas.put(replica(module))

    def of(item: Given) -> Made:
        one = replicas.get()
        try:
            return work(one, item)
        finally:
            replicas.put(one)

    with one_thread():  # what the threads set holds for those that start later
        yield from in_order(of, items, workers, start=partial(torch.set_num_threads, 1))


@contextmanager
def one_thread() -> Iterator[None]:
    """Compute with one of torch's threads inside: several spin while they wait for one another,
    which beside other work costs ten times what they bring."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def replica(module: nn.Module) -> nn.Module:
    """Return a copy that shares parameters and buffers. A module may keep what it computes in its
    attributes during a call, so that two calls at once need two modules.

    Raises `ModelError` if the module cannot be copied.
    """
    shared = [*module.parameters(), *module.buffers()]
    return copied(module, {id(tensor): tensor for tensor in shared})


def frozen(module: nn.Module) -> nn.Module:
    """Return a replica whose parameters take no gradient. Raises `ModelError` as `replica` does."""
    memo: dict[int, object] = {id(buffer): buffer for buffer in module.buffers()}
    for parameter in module.parameters():
        memo[id(parameter)] = nn.Parameter(parameter.detach(), requires_grad=False)
    return copied(module, memo)


def copied(module: nn.Module, memo: dict[int, object] | None = None) -> nn.Module:
    """Return a deep copy; `memo` as `copy.deepcopy` takes it. Raises `ModelError` if there cannot
    be one."""
    memo = {} if memo is None else memo
    lazy = [one for one in module.buffers() if nn.parameter.is_lazy(one)]
    memo |= {id(one): _not_made_yet(one) for one in lazy}
    try:
        return copy.deepcopy(module, memo)
    except Exception as error:
        raise ModelError(f"the network cannot be copied: {first_line(error)}") from error


def _not_made_yet(buffer: Any) -> Any:
    """Return another buffer without a shape, as lazy modules have them: torch cannot copy one."""
    kind: Any = type(buffer)
    return kind(buffer.requires_grad, buffer.device, buffer.dtype, buffer.persistent)


def batch_for_outputs(module: nn.Module, input_shape: tuple[int, ...]) -> int:
    """Return how many examples to see a module's outputs with at a time: its own batch, or more."""
    wanted = min(BATCH, MAX_NUMBERS // max(1, math.prod(input_shape[1:])))
    return fitting_batch(module, input_shape, wanted) if wanted > input_shape[0] else input_shape[0]


def fitting_batch(module: nn.Module, input_shape: tuple[int, ...], wanted: int) -> int:
    """Return `wanted`, or the network's own batch where it takes no other, or answers otherwise in
    company (statistics over a batch)."""
    own = input_shape[0]
    rng = np.random.default_rng(0)
    shape = (max(wanted, own), *input_shape[1:])
    noise = torch.from_numpy(rng.standard_normal(shape, dtype=np.float32))
    try:
        with redirect_stderr(io.StringIO()):  # torch.fx writes a traceback before it raises
            several, known = _tensors(module, noise[:wanted]), _tensors(module, noise[:own])
    except ModelError:
        return own
    alike = several.keys() == known.keys() and all(
        _alike(several[name], known[name], wanted, own) for name in known
    )
    return wanted if alike else own


def _alike(several: Tensor, known: Tensor, wanted: int, own: int) -> bool:
    """Whether the examples that both have got the same answers."""
    if known.shape[:1] != (own,) or several.shape != (wanted, *known.shape[1:]):
        return False
    both = min(wanted, own)
    first, second = several[:both].double(), known[:both].double()
    difference = torch.linalg.vector_norm(first - second)
    return bool(difference <= ALIKE * torch.linalg.vector_norm(second))
