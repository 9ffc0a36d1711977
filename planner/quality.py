"""What a plan may lose, and how much of that it uses: network error, and the user's own score.

Both are measured on whole networks with layers replaced, and remembered. The report split is
not read here.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..errors import UsageError
from ..records import Decomposition
from .known_errors import NetworkError
from .sensitivity import Sensitivity

if TYPE_CHECKING:
    from ..models.network import Network

Run = Callable[[NDArray[Any]], NDArray[np.float32]]
Evaluate = Callable[[Run], float]
"""The user's own judgement: it is given the network as a function from inputs (n, ...) to the
compared outputs (n, ...), and returns a score, of which more is better."""


class Score:
    """The user's evaluation, with the least score that a plan may have.

    Raises `UsageError` if the function fails, its score is no finite number, or the original
    network itself does not reach the floor.
    """

    def __init__(self, name: str, evaluate: Evaluate, floor: float, original: Network) -> None:
        self.name, self.floor = name, floor
        self._evaluate = evaluate
        self.original = self.of(original)
        if not self.original > floor:
            raise UsageError(
                f"{name} gives the original network {self.original:g}, which is not above the "
                f"floor {floor:g}: lower --floor"
            )

    def of(self, network: Network) -> float:
        try:
            score = float(self._evaluate(network.outputs))
        except Exception as error:  # a user's function may raise anything
            raise UsageError(f"{self.name} failed: {type(error).__name__}: {error}") from error
        if not math.isfinite(score):
            raise UsageError(f"{self.name} returned {score}, which is no finite number")
        return score

    def usage(self, network: Network) -> float:
        """The share of the way from the original's score to the floor; above 1: below it."""
        return (self.original - self.of(network)) / (self.original - self.floor)


def find_score(name: str | None, floor: float | None, original: Network) -> Score | None:
    """`--evaluate package.module:callable` with its `--floor`; both or neither."""
    from ..models.callables import find_callable

    if (name is None) != (floor is None):
        raise UsageError("--evaluate and --floor belong together: give both or neither")
    if name is None or floor is None:
        return None
    evaluate, _ = find_callable(name)
    return Score(name, evaluate, floor, original)


class Quality:
    """The limits on what a plan may lose; `usage` says how much of them decisions use up.

    With `estimating`, network errors follow from plans that were measured earlier wherever these
    say something: no network is run, and no factors are made.
    """

    def __init__(
        self,
        sensitivity: Sensitivity,
        max_error: float | None,
        score: Score | None = None,
        *,
        estimating: bool = False,
    ) -> None:
        self.sensitivity, self.max_error, self.score = sensitivity, max_error, score
        self.estimating = estimating and score is None
        self._scores: dict[tuple[tuple[str, Decomposition], ...], float] = {}

    @property
    def limited(self) -> bool:
        return self.max_error is not None or self.score is not None

    def usage(self, decisions: Mapping[str, Decomposition]) -> float:
        """At most 1 where every limit is kept. In squared network error, to which the drop of
        a score is about proportional; of the error it is the bound for other pictures."""
        shares = [0.0]
        if self.max_error is not None:
            shares.append((self.error(decisions).upper / self.max_error) ** 2)
        if self.score is not None:
            shares.append(self._score_used(self.score, decisions))
        return max(shares)

    def error(self, decisions: Mapping[str, Decomposition]) -> NetworkError:
        """The network error, measured or (see `estimating`) estimated."""
        found = self.sensitivity.expected(decisions) if self.estimating else None
        return found or self.sensitivity.measured(decisions)

    def measured_before(self) -> list[Mapping[str, Decomposition]]:
        """Whole plans whose network error an earlier run measured."""
        return [decisions for decisions, _ in self.sensitivity.before]

    def _score_used(self, score: Score, decisions: Mapping[str, Decomposition]) -> float:
        changed = tuple(sorted((n, d) for n, d in decisions.items() if not d.is_original))
        if not changed:
            return 0.0
        key = tuple(sorted(changed, key=lambda item: item[0]))
        if key not in self._scores:
            network = self.sensitivity.assembly.network_with(decisions)
            self._scores[key] = score.usage(network)
        return self._scores[key]
