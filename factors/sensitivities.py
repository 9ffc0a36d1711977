"""How much each candidate of each layer would change of what is compared: from gradients, without
running a network in which anything is replaced.

To first order a change dz of a layer's output changes the compared outputs by J dz, and v . J dz is
the product of dz with the gradient g of v . y by the layer's output. So one backward pass serves
all layers, kinds and ranks, and the expectation of the square over random directions v is the
candidate's contribution to the squared network error (see `factors.cotangents`).
"""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ..inputs.examples import Given
from ..lowrank import lower
from ..models.differentiable import Differentiable
from ..ops.chain import Chain
from ..records import Decomposition, LayerSpec
from .assembly import Assembly
from .cotangents import Cotangents
from .gradients import Take, by_batch, pull_back, recorded, require_gradients
from .layer_changes import Changes, OutputChanges, Replacement, WeightChanges, by_weight, bytes_held
from .side_by_side import side_by_side

Candidates = Mapping[str, Sequence[Decomposition]]
"""What each layer may become, by the layer's name."""
Change = tuple[str, Decomposition]
"""A layer's name and what it becomes."""

MAX_BYTES = 10**9
"""Bytes of changes that are held at a time; more candidates take another pass."""


def contributions(
    assembly: Assembly,
    network: Differentiable,
    inputs: Given,
    candidates: Candidates,
    cotangents: Cotangents,
) -> dict[Change, float]:
    """Return what each candidate alone would add to the squared network error over the inputs
    (n, ...), to first order. Changes of biases count.

    One forward pass, and a backward pass for each cotangent, per example; no gradient outlives
    its layer's turn in a backward pass. Candidates whose changes do not fit into `MAX_BYTES`
    together take further passes. Raises `ModelError` where no gradient can be taken.
    """
    changes = (Held.of(assembly, one) for one in portions(assembly, candidates, bytes_held))
    found = summed(changes, network, inputs, cotangents)
    require_gradients(value > 0 for value in found.values())
    return found


def summed(
    changes: Iterable[Held], network: Differentiable, inputs: Given, cotangents: Cotangents
) -> dict[Change, float]:
    """Return for each change the squares over the inputs (n, ...): one pass for each portion."""
    found: dict[Change, float] = {}
    for held in changes:
        work = partial(squares, held, cotangents)
        total = np.sum(list(by_batch(network, inputs, network.inputs.batch, work)), axis=0)
        found |= dict(zip(held.order, total.tolist(), strict=True))
    return found


def portions(
    assembly: Assembly, candidates: Candidates, bytes_of: Callable[[LayerSpec, Chain], int]
) -> Iterator[list[Change]]:
    """Divide the candidates into portions whose changes fit into `MAX_BYTES`: mostly one."""
    portion: list[Change] = []
    held = 0
    for name, decompositions in candidates.items():
        spec = assembly.spec(name)
        for decomposition in decompositions:
            size = bytes_of(spec, lower(spec, decomposition))
            if portion and held + size > MAX_BYTES:
                yield portion
                portion, held = [], 0
            portion.append((name, decomposition))
            held += size
    if portion:
        yield portion


class Held(NamedTuple):
    """The changes of one portion: `order` says which they are, `by_layer` where in that order a
    layer's changes stand that count together."""

    order: list[Change]
    by_layer: dict[str, list[tuple[slice, Changes]]]

    @classmethod
    def of(cls, assembly: Assembly, portion: Sequence[Change]) -> Held:
        held, made = cls([], {}), drafts(assembly, portion)
        for name in dict.fromkeys(name for name, _ in portion):
            of_layer = {change[1]: made[change] for change in portion if change[0] == name}
            held._add(assembly, name, of_layer)
        return held

    def _add(
        self, assembly: Assembly, name: str, made: Mapping[Decomposition, Replacement]
    ) -> None:
        spec, parts = assembly.spec(name), self.by_layer.setdefault(name, [])
        for as_weight in (True, False):
            those = [d for d, (links, _) in made.items() if by_weight(spec, links) == as_weight]
            if not those:
                continue
            rows = slice(len(self.order), len(self.order) + len(those))
            replacements = [made[one] for one in those]
            parts.append((rows, _changes(assembly, name, replacements, as_weight)))
            self.order.extend((name, decomposition) for decomposition in those)


def drafts(assembly: Assembly, changes: Sequence[Change]) -> dict[Change, Replacement]:
    """Return the layers' chains with drafts of their factors, made side by side: each layer and
    kind is taken apart once."""
    of_kind: dict[tuple[str, str, int], list[Change]] = {}
    for name, one in changes:
        of_kind.setdefault((name, one.kind, one.groups), []).append((name, one))

    def made(every: Sequence[Change]) -> dict[Change, Replacement]:
        return {change: assembly.draft(*change) for change in every}

    specs = [assembly.spec(name) for name, _, _ in of_kind]
    return dict(ChainMap(*side_by_side(made, list(of_kind.values()), specs)))


def _changes(
    assembly: Assembly, name: str, made: Sequence[Replacement], as_weight: bool
) -> Changes:
    if not as_weight:
        return OutputChanges.of(made)
    return WeightChanges.of(assembly.spec(name), assembly.network.weights(name), made)


def squares(
    held: Held,
    cotangents: Cotangents,
    network: Differentiable,
    batch: Given,
    examples: Mapping[int, int],
) -> NDArray[np.float64]:
    """Return for each change the sum of its squared products with the gradients of one batch.

    Each example has backward passes of its own: the square of a sum over examples would hold their
    products with one another, which are noise.
    """
    products = torch.zeros(len(held.order), dtype=torch.float64)
    squares = torch.zeros_like(products)

    def called(name: str, inputs: Tensor, outputs: Tensor) -> Take:
        seen = [(rows, changes.at(inputs, outputs)) for rows, changes in held.by_layer[name]]

        def take(gradient: Tensor) -> None:
            for rows, product in seen:
                products[rows] += product(gradient)

        return take

    with recorded(network, batch, cotangents.compared, held.by_layer, called) as parts:
        for row, number in examples.items():
            for direction in cotangents.directions(parts, {row: number}):
                products.zero_()
                pull_back(parts, direction)
                squares += products.square()
    return squares.numpy()
