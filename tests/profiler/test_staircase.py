"""Staircases planted into numbers: found with few ranks, and the good ends kept."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from rankwise.profiler.staircase import MAX_RANKS, StaircaseSearch, good_ends
from rankwise.profiler.step_model import Shape, fit

STEPS = (1, 8, 16, 32, 64)
NOISE = 0.02


@dataclass(frozen=True)
class Planted:
    """Latency at index `rank`; ranks from `lowest` to `highest` are allowed."""

    lowest: int
    highest: int
    latency: NDArray[np.float64]

    def losses(self, kept: list[int]) -> NDArray[np.float64]:
        """How much slower, at each rank budget, than the full grid's optimum at or above it,
        if the lowest kept rank that keeps the budget is taken."""
        best = np.minimum.accumulate(self.latency[::-1])[::-1]
        ranks = np.arange(self.lowest, self.highest + 1)
        taken = np.array(kept)[np.searchsorted(kept, ranks)]
        return self.latency[taken] / best[ranks] - 1


def planted(rng: np.random.Generator, step: int) -> Planted:
    """Steps of `step`, of another step from the middle on (three in ten), flat or sloping,
    unaligned ranks dearer by 5% to 30% (half), a cliff (one in four)."""
    highest = int(rng.choice([96, 128, 160, 204, 256, 320, 409, 512]))
    ranks = np.arange(highest + 1)
    ends, high_step = -(-ranks // step) * step, step
    if rng.random() < 0.3:
        high_step = int(rng.choice([other for other in STEPS if other != step]))
        change = int(rng.uniform(0.35, 0.7) * highest) // 64 * 64 or 32
        high = -(-ranks // high_step) * high_step
        ends = np.where(ranks > change, high, np.minimum(ends, change))
    slope = rng.choice([0, 0, 0.15, 0.3])
    latency = rng.uniform(0.1, 0.6) * highest + (1 - slope) * ends + slope * ranks
    if rng.random() < 0.5:
        multiple, penalty = int(rng.choice([2, 4, 8])), rng.uniform(0.05, 0.3)
        if multiple <= max(step, high_step, 4):
            latency = latency * np.where(ranks % multiple, 1 + penalty, 1)
    if rng.random() < 0.25:
        cliff = int(rng.uniform(0.3, 0.8) * highest) // 16 * 16
        latency = latency * np.where(ranks > cliff, rng.uniform(1.08, 1.3), 1)
    return Planted(max(highest // 10, 4), highest, latency)


def searched(case: Planted, rng: np.random.Generator, noise: float = NOISE) -> StaircaseSearch:
    search = StaircaseSearch(case.lowest, case.highest)
    while asked := search.ask():
        search.tell({r: case.latency[r] * np.exp(rng.normal(0, noise)) for r in asked})
    return search


@pytest.mark.slow
def test_planted_staircases_are_used_as_well_as_the_full_grid_would() -> None:
    """80 cases, 2% noise on every measured rank."""
    good = []
    for step in STEPS:
        for seed in range(16):
            rng = np.random.default_rng([seed, step])
            case = planted(rng, step)
            found = searched(case, rng).result()
            assert len(found.measured) <= MAX_RANKS
            good.append(case.losses(list(found.kept)).max() <= 0.01)
    assert sum(good) >= 0.95 * len(good), f"{sum(good)} of {len(good)}"


@pytest.mark.parametrize("step", [8, 16, 32, 64])
def test_flat_steps_are_named_and_few_ends_kept(step: int) -> None:
    ranks = np.arange(321)
    case = Planted(20, 320, 100.0 + -(-ranks // step) * step)
    found = searched(case, np.random.default_rng(step), noise=0.005).result(tolerance=0.01)
    assert found.quantum == step
    assert found.has_steps
    assert f"steps of {step}" in str(found)
    on_steps = [rank for rank in found.kept if rank % step == 0]
    assert len(on_steps) >= 0.8 * len(found.kept)
    assert case.losses(list(found.kept)).max() <= 0.01


def test_no_staircase_is_said() -> None:
    case = Planted(20, 320, 50.0 + np.arange(321))
    found = searched(case, np.random.default_rng(1), noise=0.005).result(tolerance=0.01)
    assert not found.has_steps
    assert "no staircase" in str(found)
    ratios = np.diff(np.log(50.0 + np.array(found.kept)))
    assert ratios.max() < 0.025


def test_the_real_curve_of_a_runtime() -> None:
    """svd of a 1x1 1024->256 convolution at 14x14, ONNX Runtime, one thread, microseconds."""
    found = StaircaseSearch(52, 97)
    known = {52: 501, 56: 503, 60: 505, 63: 530, 64: 501, 65: 603}
    found.tell({**known, 80: 591, 81: 695, 79: 629, 96: 676, 97: 778})
    staircase = found.result()
    assert staircase.quantum == 16
    assert staircase.alignment > 1  # 79 costs more than 80
    assert {64, 80, 96} <= set(staircase.kept)


def test_what_failed_counts_and_is_not_asked_again() -> None:
    search = StaircaseSearch(10, 200)
    seen: set[int] = set()
    while asked := search.ask():
        assert not seen & set(asked)
        assert list(asked) == sorted(asked)
        seen.update(asked)
        failed = {rank for rank in asked if rank % 3 == 0}
        search.tell({rank: 100.0 + rank for rank in asked if rank not in failed}, failed)
    assert len(seen) <= MAX_RANKS
    assert set(search.result().measured) == {rank for rank in seen if rank % 3}


def test_asking_is_a_function_of_what_was_told() -> None:
    """A search that is taken up again goes on as it would have."""
    case = planted(np.random.default_rng(5), 16)
    first, told = StaircaseSearch(case.lowest, case.highest), {}
    while asked := first.ask():
        told.update({rank: float(case.latency[rank]) for rank in asked})
        first.tell(told)
    again = StaircaseSearch(case.lowest, case.highest)
    again.tell(told)
    assert again.ask() == ()
    assert again.result() == first.result()


def test_too_little_is_refused() -> None:
    with pytest.raises(ValueError, match="too few"):
        StaircaseSearch(1, 50).result()
    with pytest.raises(ValueError, match="no ranks"):
        StaircaseSearch(5, 4)


@given(st.lists(st.floats(0.1, 10), min_size=1, max_size=60), st.floats(0, 0.1))
def test_good_ends_cover_every_rank(latencies: list[float], tolerance: float) -> None:
    values = np.array(latencies)
    ends = good_ends(values[None], np.ones(1), tolerance)
    assert ends == sorted(set(ends))
    assert ends[-1] == len(values) - 1
    for index in range(len(values)):
        taken = next(end for end in ends if end >= index)
        assert values[taken] <= values[index:].min() * (1 + tolerance) * (1 + 1e-12)


@given(
    st.sampled_from([1, 4, 8, 16, 32]),
    st.sampled_from([1, 4, 8]),
    st.floats(1, 100),
    st.floats(0.1, 2),
)
def test_a_shape_fits_itself(quantum: int, alignment: int, base: float, step: float) -> None:
    shape = Shape(quantum, 0, quantum, alignment)
    ranks = np.arange(8, 120, 3)
    columns = shape.columns(ranks)
    heights = np.array([base, step, 0.1, 2.0, 0.1][: columns.shape[1]])
    latencies = columns @ heights
    assert fit(shape, ranks, latencies).predict(ranks) == pytest.approx(latencies, rel=1e-6)
