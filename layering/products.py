"""The products that a torch module computes: how many multiply-accumulates, and with which weights.

What is counted: convolutions, products of matrices and vectors, attention products, bilinear and
recurrent layers. What only adds or scales (normalisation, pooling, activations, embeddings) is not,
nor are int8 kernels.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn
from torch.utils.flop_counter import flop_registry, sdpa_flop_count

from ..ops.operator_calls import OperatorCalls
from .weight_reads import memory


def _of_matrix_and_vector(args: Sequence[Any], _out: Any) -> int:
    return max((one.numel() for one in args[:3] if isinstance(one, Tensor)), default=0)


def _recurrent(args: Sequence[Any], _out: Any) -> int:
    """A layer of an LSTM in one direction: input (steps, examples, ...), its two weights next."""
    steps: Tensor = args[0]
    return math.prod(steps.shape[:2]) * int(args[1].numel() + args[2].numel())


def _trilinear(args: Sequence[Any], _out: Any) -> int:
    """`nn.Bilinear`: each pair of rows meets all of the weight (out, in1, in2)."""
    return int(len(args[0]) * args[1].numel())


def _attention(args: Sequence[Any], _out: Any) -> int:
    shapes = (one.shape for one in args[:3])
    return int(sdpa_flop_count(*shapes)) // 2  # type: ignore[no-untyped-call]


MORE: Mapping[str, Callable[[Sequence[Any], Any], int]] = {
    "mv": _of_matrix_and_vector,
    "addmv": _of_matrix_and_vector,
    "dot": _of_matrix_and_vector,
    "mkldnn_rnn_layer": _recurrent,
    "_trilinear": _trilinear,
    "_scaled_dot_product_flash_attention_for_cpu": _attention,
}
"""Multiply-accumulates of products that torch's own counter does not know, by the operator."""
KNOWN = {str(packet).rpartition(".")[2]: count for packet, count in flop_registry.items()}
"""Torch's formulas, which count a multiply-accumulate as two."""

ADDED_FIRST = ("addmm", "addmv", "baddbmm")
"""Products whose first argument is only added."""
CONVOLUTIONS = ("convolution", "_convolution")
COPYING = ("clone", "_reshape_copy")
"""What a weight goes through that is spread over a batch, such as a matrix for each head."""


class Products(OperatorCalls):
    """Counts a module's products while it runs, by their weights; `of_computed` has those without.

    A product of computed tensors counts for the part in which it is: a layer may compute its weight
    (from a norm and a direction). Views of a parameter (a weight turned round, a part of a packed
    one) are told by their memory.
    """

    def __init__(self, parameters: Iterable[Tensor]) -> None:
        super().__init__()
        self._storages = {one.untyped_storage().data_ptr() for one in parameters}
        self._of_weights: Counter[int] = Counter()
        self._convolved: set[int] = set()
        self._of_parts: Counter[nn.Module] = Counter()
        self._copies: dict[int, tuple[Tensor, int]] = {}
        """Of weights, by where they begin: kept, so that nothing else lies there; the weight's."""
        self.of_computed = 0

    @contextmanager
    def inside(self, parts: Iterable[nn.Module]) -> Iterator[None]:
        """Count products of computed tensors inside these modules for them."""
        try:
            with super().inside(parts):
                yield
        finally:
            self._copies.clear()

    def macs_inside(self, part: nn.Module) -> int | None:
        """Return how many there were of computed tensors inside a module; None for none."""
        return self._of_parts.get(part)

    def macs_of(self, parameter: Tensor) -> int | None:
        """Return how many there were with a parameter or a part of it; None if it was no weight."""
        there = memory(parameter)
        found = [macs for address, macs in self._of_weights.items() if address in there]
        return sum(found) if found else None

    def first_use(self, parameter: Tensor) -> int | None:
        """Return when it was first a weight, as a number that grows; None if it never was."""
        there = memory(parameter)
        order = enumerate(self._of_weights)
        return next((number for number, address in order if address in there), None)

    def convolved(self, parameter: Tensor) -> bool:
        """Whether a convolution had it, or a part of it, as its weight."""
        there = memory(parameter)
        return any(address in there for address in self._convolved)

    def called(self, func: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        out = func(*args, **kwargs)
        name = func.name().partition("::")[2].partition(".")[0]
        if name in COPYING and (address := self._address(args[0])) is not None:
            self._copies[out.untyped_storage().data_ptr()] = out, address
        if name in MORE:
            self._note(name, args, MORE[name](args, out))
        elif name in KNOWN:
            count = KNOWN[name](*args, **kwargs, out_val=out)
            self._note(name, args, int(count) // 2)
        return out

    def _note(self, operator: str, args: Sequence[Any], macs: int) -> None:
        """Count a product for the parameters among its factors: what is multiplied by a weight may
        be a parameter, too, so that the last one counts."""
        found = map(self._address, _weights(operator, args))
        known = [address for address in found if address is not None]
        if not known and self.running:
            self._of_parts[self.running[-1]] += macs
        elif not known:
            self.of_computed += macs
        if not known:
            return
        self._of_weights[known[-1]] += macs
        if operator in CONVOLUTIONS:
            self._convolved.add(known[-1])

    def _address(self, factor: Tensor) -> int | None:
        """Return where a weight, or what it is a copy of, begins; None for what is computed."""
        storage = factor.untyped_storage().data_ptr()
        if storage in self._storages:
            return factor.data_ptr()
        return self._copies[storage][1] if storage in self._copies else None


def _weights(operator: str, args: Sequence[Any]) -> list[Tensor]:
    """Return what is multiplied: no bias, and of a convolution the weight alone."""
    if operator in CONVOLUTIONS:
        return [args[1]]
    if operator == "mkldnn_rnn_layer":
        return [args[1]]
    factors = args[1:3] if operator in ADDED_FIRST else args[:3]
    return [one for one in factors if isinstance(one, Tensor)]
