"""Where time goes first."""

from __future__ import annotations

import numpy as np

from rankwise.profiler.scheduling import in_order, openness, undecided, worth
from rankwise.records import PairSummary
from rankwise.stats import summarize_pairs


def pairs(speedup: float, noise: float, seed: int = 0) -> list[PairSummary]:
    rng = np.random.default_rng(seed)
    return [
        summarize_pairs(speedup * np.exp(rng.normal(0, noise, 12)), np.ones(12)) for _ in range(2)
    ]


def test_the_unknown_counts_most_and_the_decided_least() -> None:
    rough, clear = pairs(1.02, 0.05), pairs(2.0, 0.001)
    assert undecided(rough)
    assert not undecided(clear)
    assert openness([]) > openness(rough) > openness(clear) > 0


def test_a_heavy_layer_goes_before_a_light_one_with_the_same_doubt() -> None:
    rough = pairs(1.02, 0.05)
    assert in_order({0: worth(1, [rough]), 1: worth(5, [rough]), 2: worth(3, [[]])}) == [2, 1, 0]
    assert worth(1, []) == 0
