"""The user's own score of a network, and the floor that it must not fall below.

Scores are of whole networks with layers replaced, and remembered. The report split is not read.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import UsageError
from ..factors.assembly import Assembly
from ..models.network import Answering, Network, Outputs, only
from ..records import Decomposition
from ..search.space import Assignment
from ..sources.callables import find_callable

NetworkFunction = Callable[
    [NDArray[Any] | Mapping[str, NDArray[Any]]], NDArray[np.float32] | Outputs
]
Evaluate = Callable[[NetworkFunction], float]
"""The user's own judgement: it is given the network as a function from inputs (n, ...) to the
compared output (n, ...), each by name where there are several, and returns a score, of which more
is better."""


class Score:
    """The user's evaluation, with the least score that a plan may have: a `Constraint`.

    Raises `UsageError` if the function fails, its score is no finite number, or the original
    network itself does not reach the floor.
    """

    def __init__(self, name: str, evaluate: Evaluate, floor: float, original: Network) -> None:
        self.name, self.floor = name, floor
        self._evaluate = evaluate
        self._shares: dict[frozenset[tuple[str, Decomposition]], float] = {}
        self.original = self.of(original)
        if not self.original > floor:
            raise UsageError(
                f"{name} gives the original network {self.original:g}, which is not above the "
                f"floor {floor:g}: lower --floor"
            )

    def of(self, network: Answering) -> float:
        """The network's score. Raises `UsageError` where the user's function has none."""
        try:
            score = float(self._evaluate(partial(_answer, network)))
        except Exception as error:  # a user's function may raise anything
            raise UsageError(f"{self.name} failed: {type(error).__name__}: {error}") from error
        if not math.isfinite(score):
            raise UsageError(f"{self.name} returned {score}, which is no finite number")
        return score

    def share(self, network: Answering) -> float:
        """The share of the way from the original's score to the floor; above 1: below it."""
        return (self.original - self.of(network)) / (self.original - self.floor)

    def usage(self, plan: Assignment, assembly: Assembly) -> float:
        changed = frozenset(plan.decisions.items())
        if not changed and assembly.form is None:
            return 0.0
        if changed not in self._shares:
            self._shares[changed] = self.share(assembly.answering_with(plan.decisions))
        return self._shares[changed]


def _answer(
    network: Answering, inputs: NDArray[Any] | Mapping[str, NDArray[Any]]
) -> NDArray[np.float32] | Outputs:
    outputs = network.outputs(inputs)
    return only(outputs) if len(outputs) == 1 else outputs


def find_score(name: str | None, floor: float | None, original: Network) -> Score | None:
    """`--evaluate package.module:callable` with its `--floor`; both or neither."""
    if (name is None) != (floor is None):
        raise UsageError("--evaluate and --floor belong together: give both or neither")
    if name is None or floor is None:
        return None
    evaluate, _ = find_callable(name)
    return Score(name, evaluate, floor, original)
