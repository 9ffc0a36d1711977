"""What is chosen when a network is quantised: how each tensor between products is balanced, which
layers stay in float, and how much wider than what was seen ranges are."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace


@dataclass(frozen=True, slots=True)
class Recipe:
    """`powers`: by the name of the tensor between two products, the power of their ranges by which
    its channels are divided; `in_float` are names of layers, or of single products."""

    name: str = "as the quantiser does it"
    powers: Mapping[str, float] = field(default_factory=dict)
    in_float: frozenset[str] = frozenset()
    margin: float = 1.0
    """What the ranges of activations are multiplied by. Unseen pictures go beyond what was seen,
    and what lies beyond a range is cut off, while a wider one only has coarser steps."""

    @property
    def balanced(self) -> int:
        """How many tensors are changed."""
        return sum(power > 0 for power in self.powers.values())

    def with_in_float(self, names: Iterable[str]) -> Recipe:
        """The same with these layers in float, too."""
        more = frozenset(names) - self.in_float
        if not more:
            return self
        name = f"{self.name}, {len(more)} in float"
        return replace(self, name=name, in_float=self.in_float | more)

    def with_margin(self, margin: float) -> Recipe:
        """The same with ranges that are so many times as wide."""
        if margin == self.margin:
            return self
        return replace(self, name=f"{self.name}, ranges {margin:g} times as wide", margin=margin)


PLAIN = Recipe()
