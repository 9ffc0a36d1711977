"""Layers as Optuna parameters: each point a measured candidate, each candidate a point."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from optuna.trial import FixedTrial

from rankwise.records import Decomposition
from rankwise.search.encoding import LayerCode, encode
from rankwise.search.space import Choice

decompositions = st.one_of(
    st.builds(lambda r: Decomposition("svd", (r,)), st.integers(1, 300)),
    st.builds(
        lambda a, b: Decomposition("tucker2", (8 * a, 8 * b)),
        st.integers(1, 40),
        st.integers(1, 40),
    ),
)
pools = st.lists(decompositions, max_size=12, unique=True).map(
    lambda found: (
        Choice(),
        *(Choice(d, saving_s=1.0, error_sq=1 / sum(d.ranks)) for d in found),
    )
)


class RandomTrial:
    """Takes any of the options."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def suggest_categorical(self, _name: str, choices: Any) -> Any:
        assert len(choices) > 1
        return self.random.choice(choices)

    def suggest_int(self, _name: str, low: int, high: int) -> int:
        assert 0 == low < high
        return self.random.randint(low, high)


@given(pools)
def test_every_candidate_has_a_point(pool: tuple[Choice, ...]) -> None:
    code = LayerCode.of("a", pool)
    for choice in pool:
        assert code.suggest(FixedTrial(encode([code], [choice]))) == choice


@given(pools, st.integers(0, 1000))
def test_every_point_is_a_candidate(pool: tuple[Choice, ...], seed: int) -> None:
    code = LayerCode.of("a", pool)
    choice = code.suggest(RandomTrial(seed))
    assert choice in pool
    assert code.suggest(FixedTrial(code.params_of(choice))) == choice


def test_quanta_are_those_that_offer_something_new() -> None:
    ranks = (7, 16, 32, 48, 64)
    pool = [Choice(Decomposition("svd", (r,)), error_sq=1.0 / r) for r in ranks]
    quanta = LayerCode.of("a", [Choice(), *pool]).kinds["svd"]
    offered = {q: [c.decomposition.ranks[0] for c in found] for q, found in quanta.items()}
    assert offered == {64: [64], 32: [64, 32], 16: [64, 48, 32, 16], 1: [64, 48, 32, 16, 7]}


def test_an_unknown_choice_is_refused() -> None:
    code = LayerCode.of("a", [Choice(), Choice(Decomposition("svd", (8,)))])
    with pytest.raises(KeyError, match="svd 9"):
        code.params_of(Choice(Decomposition("svd", (9,))))
