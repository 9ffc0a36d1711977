"""Searching a layer's kinds on the fake device, whose steps are planted."""

from __future__ import annotations

import numpy as np
import pytest

from rankwise.backends.fake import FakeBackend
from rankwise.lowrank import full_ranks, lower
from rankwise.profiler.pairs import PairSearch
from rankwise.profiler.rank_search import KindSearch, saving_limits, searches
from rankwise.profiler.staircase import MAX_RANKS
from rankwise.records import Decomposition, LayerSpec

POINTWISE = LayerSpec("conv2d", 1024, 256, (1024, 14, 14), bias=False)
CONV = LayerSpec("conv2d", 256, 256, (256, 14, 14), (3, 3), padding=(1, 1, 1, 1), bias=False)
STEM = LayerSpec("conv2d", 3, 64, (3, 32, 32), (3, 3), padding=(1, 1, 1, 1))


def explored(search: KindSearch, step: int) -> int:
    """Play the search on a device with steps of `step`; how many were measured."""
    fake, rng, count = FakeBackend(step=str(step)), np.random.default_rng(step), 0
    while asked := search.ask():
        count += len(asked)
        links = {d.ranks: lower(search.spec, d).links for d in asked}
        search.tell(
            {r: fake.seconds(found) * np.exp(rng.normal(0, 0.005)) for r, found in links.items()}
        )
    return count


@pytest.mark.parametrize("spec", [POINTWISE, CONV], ids=["1x1", "3x3"])
@pytest.mark.parametrize("step", [16, 32])
def test_planted_steps_are_found_in_every_kind(spec: LayerSpec, step: int) -> None:
    found = searches(spec, None)
    assert found
    for search in found:
        measured = explored(search, step)
        candidates = search.candidates(16)
        new = sum(d.ranks not in search.told for d in candidates)
        assert measured + new <= MAX_RANKS
        assert [finding.quantum for finding in search.findings()] == [step] * len(
            full_ranks(spec, search.kind)
        )
        assert candidates
        on_steps = sum(all(rank % step == 0 for rank in d.ranks) for d in candidates)
        assert on_steps >= len(candidates) - 2  # the range's two ends may be kept as well
        assert all(lower(spec, d).macs < spec.macs for d in candidates)


def test_a_device_without_steps_gets_a_geometric_grid() -> None:
    (search,) = searches(POINTWISE, ["svd"])
    explored(search, 1)
    assert "no staircase" in search.findings()[0].text
    ranks = [d.ranks[0] for d in search.candidates(16)]
    assert np.diff(np.log(ranks)).max() < 0.25


def test_where_few_ranks_are_possible_the_quantum_stands() -> None:
    tucker = next(s for s in searches(STEM, None) if s.kind == "tucker2")
    assert tucker.ask() == ()
    assert tucker.findings() == []
    assert all(rank % 4 == 0 for d in tucker.candidates(4) for rank in d.ranks)


def test_kinds_that_failed_altogether_have_no_candidates_of_theirs() -> None:
    (search,) = searches(POINTWISE, ["svd"])
    while asked := search.ask():
        search.tell({}, [d.ranks for d in asked])
    assert search.findings() == []


def test_limits_save_macs() -> None:
    for kind in ("channel_svd", "spatial_svd", "tucker2"):
        limits = saving_limits(CONV, kind)
        assert limits is not None
        for ranks in limits:
            assert lower(CONV, Decomposition(kind, ranks)).macs < CONV.macs


@pytest.mark.parametrize("quantum", [8, 16, 32])
def test_each_axis_of_a_pair_has_steps_of_its_own(quantum: int) -> None:
    right = 0
    for seed in range(10):
        rng, search = np.random.default_rng(seed), PairSearch((128, 256))
        while asked := search.ask():
            latencies = {}
            for first, second in asked:
                end = -(-first // quantum) * quantum
                exact = 2000 + 30 * end + 30 * second + 0.5 * end * second
                latencies[first, second] = exact * np.exp(rng.normal(0, 0.005))
            search.tell(latencies)
        first_axis, second_axis = search.result()
        right += first_axis.quantum == quantum and second_axis.quantum < quantum
    assert right >= 8
