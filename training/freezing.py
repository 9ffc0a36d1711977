"""Sequential freezing (arXiv 2309.03824): in turns, part of each chain's factors is frozen.

A frozen factor needs no weight gradient, so that backward work shrinks; gradients still flow
through it. In even turns the first, third, ... link of every chain is frozen, in odd turns the
others: of two factors now one and now the other, of Tucker's three now the outer pair and now
the core.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import nn

from ..errors import UsageError
from .pair import links

TURN_STEPS = 25


@dataclass(frozen=True, slots=True)
class Freezing:
    """`turn_steps`: optimiser steps of one turn; 0 never freezes anything."""

    turn_steps: int = 0

    @classmethod
    def parse(cls, text: str) -> Freezing:
        """`none`, `sequential`, or `sequential:N` with N steps a turn."""
        kind, _, steps = text.partition(":")
        if text == "none":
            return cls(0)
        if kind != "sequential" or (steps and not (steps.isdecimal() and int(steps))):
            raise UsageError(f"--freeze is none, sequential or sequential:STEPS, not {text!r}")
        return cls(int(steps or TURN_STEPS))

    def __str__(self) -> str:
        return f"sequential:{self.turn_steps}" if self.turn_steps else "none"

    def turn(self, step: int) -> int | None:
        """Which parity of links is frozen at this step; None if none is."""
        return step // self.turn_steps % 2 if self.turn_steps else None

    def apply(self, model: nn.Module, chains: Sequence[str], step: int) -> None:
        """Freeze the factors whose turn it is at this step, and thaw the others."""
        freeze(model, chains, self.turn(step))


def freeze(model: nn.Module, chains: Sequence[str], parity: int | None) -> None:
    """Freeze each chain's links of that parity (0: first, third, ...), thaw the others."""
    for path in chains:
        for number, link in enumerate(links(model.get_submodule(path))):
            link.requires_grad_(parity is None or number % 2 != parity)
