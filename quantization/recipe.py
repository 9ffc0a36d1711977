"""What is chosen when a network is quantised: how each tensor between links is balanced, and which
layers stay in float."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from .balancing import Balance


@dataclass(frozen=True, slots=True)
class Recipe:
    """`balances` by the name of the tensor between two links; `in_float` are layers' names."""

    name: str = "as the quantiser does it"
    balances: Mapping[str, Balance] = field(default_factory=dict)
    in_float: frozenset[str] = frozenset()

    @property
    def balanced(self) -> int:
        """How many tensors are changed."""
        return sum(balance.power > 0 for balance in self.balances.values())


PLAIN = Recipe()
