"""Layers' choices as Optuna parameters, so that every sampled point is a measured candidate.

A layer has a categorical for its kind (the original among them); under a kind a categorical
for the rank quantum; under a quantum an integer: which of the candidates whose ranks are all
multiples of it, from the smallest error up. A parameter with one value is left out.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from math import gcd
from typing import TYPE_CHECKING, Any

from .space import QUANTA, Choice, LayerChoices

if TYPE_CHECKING:
    from optuna.trial import BaseTrial

Params = dict[str, Any]


@dataclass(frozen=True)
class LayerCode:
    """The choices of one layer: kind -> quantum -> choices. The original is its own kind."""

    name: str
    kinds: dict[str, dict[int, tuple[Choice, ...]]]

    @classmethod
    def of(cls, name: str, choices: Sequence[Choice]) -> LayerCode:
        kinds: dict[str, list[Choice]] = {}
        for choice in choices:
            kinds.setdefault(choice.decomposition.kind, []).append(choice)
        return cls(name, {kind: _by_quantum(members) for kind, members in kinds.items()})

    def suggest(self, trial: BaseTrial) -> Choice:
        kind = _one_of(trial, f"{self.name}:kind", list(self.kinds))
        quanta = self.kinds[kind]
        quantum = _one_of(trial, f"{self.name}:{kind}:quantum", list(quanta))
        choices = quanta[quantum]
        if len(choices) == 1:
            return choices[0]
        name = f"{self.name}:{kind}:{quantum}:rank"
        return choices[trial.suggest_int(name, 0, len(choices) - 1)]

    def params_of(self, choice: Choice) -> Params:
        """The parameters that `suggest` reads to arrive at this choice, in its coarsest
        quantum. The choice is known by its decomposition."""
        kind = choice.decomposition.kind
        quanta = self.kinds[kind]
        for quantum, choices in quanta.items():
            decompositions = [c.decomposition for c in choices]
            if choice.decomposition in decompositions:
                rank = decompositions.index(choice.decomposition)
                return {
                    f"{self.name}:kind": kind,
                    f"{self.name}:{kind}:quantum": quantum,
                    f"{self.name}:{kind}:{quantum}:rank": rank,
                }
        raise KeyError(f"{self.name} has no choice {choice.decomposition}")


def _one_of(trial: BaseTrial, name: str, options: list[Any]) -> Any:
    return options[0] if len(options) == 1 else trial.suggest_categorical(name, options)


def _by_quantum(choices: Iterable[Choice]) -> dict[int, tuple[Choice, ...]]:
    """The quanta, from the coarsest, that offer more than the next coarser one does."""
    ordered = sorted(choices, key=lambda c: (c.error_sq, -c.saving_s, c.decomposition.ranks))
    quanta: dict[int, tuple[Choice, ...]] = {}
    most = 0
    for quantum in QUANTA:
        fitting = tuple(c for c in ordered if gcd(*c.decomposition.ranks) % quantum == 0)
        if len(fitting) > most:
            quanta[quantum] = fitting
            most = len(fitting)
    return quanta


def encode(codes: Sequence[LayerCode], choices: Sequence[Choice]) -> Params:
    """The parameters of a whole assignment."""
    params: Params = {}
    for code, choice in zip(codes, choices, strict=True):
        params |= code.params_of(choice)
    return params


def code_layers(
    layers: Sequence[LayerChoices], pools: Sequence[Sequence[Choice]]
) -> list[LayerCode]:
    """A code for each layer, over those of its choices that are in its pool."""
    return [LayerCode.of(layer.name, pool) for layer, pool in zip(layers, pools, strict=True)]
