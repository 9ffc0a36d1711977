"""Which of the states that training looks at is kept.

The last one that is within one standard error of the best (Breiman et al. 1984, for the size of
trees), and better than the start: the best of twenty looks at a few pictures is the luckiest, too.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..models.compared import Compared
from ..models.network import Outputs
from ..models.network_error import NetworkError
from .comparison import ratio_of

ONE_STANDARD_ERROR = 0.683
"""Confidence of an interval that reaches one standard error."""


class Selection:
    """Compares looks at the select split with the original's outputs there.

    `pictures`: how many its examples are of, those of one picture together and equally many of
    each. `error_before` is the first look's error, `best_error` that of the state to keep, and
    `stale` counts the looks since that one.
    """

    def __init__(self, wanted: Outputs, compared: Compared, pictures: int) -> None:
        self.wanted, self.compared, self.pictures = wanted, compared, pictures
        self.error_before = self.best_error = math.inf
        self.stale = 0
        self._least_lost: NDArray[np.float64] | None = None

    def look(self, outputs: Outputs, trained: bool = True) -> tuple[float, bool]:
        """Return the error of a state with these outputs, and whether it is the one to keep by now.

        Where no step was `trained` since the state that is kept, only a lower error is a reason.
        """
        errors = NetworkError.of(self.compared, self.wanted, outputs, self.pictures)
        error, lost = errors.value, errors.contributions
        if self._least_lost is None:
            self.error_before, self._least_lost, keep = error, lost, True
        else:
            limit = self.error_before if trained else self.best_error
            keep = self._is_as_good(self._least_lost, lost) and error < limit
        if keep:
            self.best_error, self.stale = error, 0
        else:
            self.stale += 1
        return error, keep

    def _is_as_good(self, least: NDArray[np.float64], lost: NDArray[np.float64]) -> bool:
        """Tell whether a look is as good as the best one, within a standard error over pictures."""
        if lost.sum() < least.sum():
            self._least_lost = least = lost
        _, low, _ = ratio_of(least, lost, ONE_STANDARD_ERROR)
        return low <= 1

    def notes(self) -> dict[str, Any]:
        """Return as JSON all that the next look depends on."""
        return {
            "stale": self.stale,
            "error_before": self.error_before,
            "best_error": self.best_error,
            "least_lost": [] if self._least_lost is None else self._least_lost.tolist(),
        }

    def restore(self, notes: Mapping[str, Any]) -> None:
        """Go on from earlier `notes`."""
        self.stale, self.error_before = notes["stale"], notes["error_before"]
        self.best_error = notes["best_error"]
        self._least_lost = np.array(notes["least_lost"])
