"""Where a network's parameters are: each one counts once, for a layer or under what else it is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass

NORMALISATION, EMBEDDINGS, OTHER = "normalisation", "embeddings", "other parameters"
KINDS = (NORMALISATION, EMBEDDINGS, OTHER)
"""What parameters are that are in no layer of the list."""


@dataclass(frozen=True, slots=True)
class ParameterAccounts:
    """`layers`: the parameters of every layer by its name. `others`: of what is no layer, by its
    kind and by what holds it (`normalisation`, `LayerNorm`). Together they are all there are.

    `macs`: multiply-accumulates for one example over all calls, by the name of a layer for which
    they are known. `products_macs`: those of products of two computed tensors (attention); None
    where nobody counted.
    """

    layers: Mapping[str, int]
    others: Mapping[tuple[str, str], int]
    macs: Mapping[str, int]
    products_macs: int | None = None

    @property
    def total(self) -> int:
        """The number of parameters of the network."""
        return sum(self.layers.values()) + sum(self.others.values())

    def of_kind(self, kind: str) -> dict[str, int]:
        """Return what parameters of a kind there are by what holds them, the most first."""
        found = Counter({holder: n for (of, holder), n in self.others.items() if of == kind})
        return dict(found.most_common())


def kind_of_holder(holder: str) -> str:
    """Return what parameters are by the name of the class or operator that holds them."""
    if "Norm" in holder:
        return NORMALISATION
    return EMBEDDINGS if "Embedding" in holder or holder == "Gather" else OTHER


def shared_out(
    claims: Iterable[tuple[str, Hashable, int]],
    rest: Iterable[tuple[str, Hashable, int]],
    macs: Mapping[str, int],
    products_macs: int | None = None,
) -> ParameterAccounts:
    """Count each parameter for the first who claims it: (layer's name, parameter, numbers), and
    what is left, `rest`, for its holder's class or operator."""
    taken: set[Hashable] = set()
    layers: Counter[str] = Counter()
    others: Counter[tuple[str, str]] = Counter()
    for name, parameter, numbers in claims:
        layers[name] += 0 if parameter in taken else numbers
        taken.add(parameter)
    for holder, parameter, numbers in rest:
        if parameter not in taken:
            others[kind_of_holder(holder), holder] += numbers
            taken.add(parameter)
    return ParameterAccounts(layers, others, macs, products_macs)
