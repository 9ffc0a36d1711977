"""Errors of networks that were measured before, and what they say about other plans."""

from __future__ import annotations

import math
import os
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rankwise.db.store import Store
from rankwise.factors.array_cache import MAX_BYTES, ArrayCache
from rankwise.planner import known_errors
from rankwise.planner.error_trend import REACH, ErrorTrend
from rankwise.planner.known_errors import KnownErrors, NetworkError
from rankwise.records import Decomposition

NETWORK, OTHER, INPUTS = "a" * 64, "b" * 64, "c" * 64
ONE = {"fc": Decomposition("svd", (8,))}
TWO = {**ONE, "conv": Decomposition("tucker2", (8, 16))}
ERROR = NetworkError(0.1, 0.2)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(str(tmp_path / "lab.db")) as opened:
        yield opened


@pytest.fixture
def cache(tmp_path: Path) -> ArrayCache:
    return ArrayCache(tmp_path / "lab.cache")


class TestKnownErrors:
    def test_one_layer_is_a_row_and_several_a_file(self, store: Store, cache: ArrayCache) -> None:
        known = KnownErrors(cache, NETWORK, INPUTS, store=store)
        known.put(ONE, ERROR)
        assert not cache.folder.exists()
        known.put(TWO, NetworkError(0.3, 0.4))
        again = KnownErrors(cache, NETWORK, INPUTS, store=store)
        assert again.get(ONE) == ERROR
        assert again.get(dict(reversed(TWO.items()))) == NetworkError(0.3, 0.4)
        assert again.plans() == [({"conv": TWO["conv"], **ONE}, NetworkError(0.3, 0.4))]
        assert again.get({"fc": Decomposition("svd", (9,))}) is None

    def test_nothing_is_mixed_up(
        self, store: Store, cache: ArrayCache, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        first = KnownErrors(cache, NETWORK, INPUTS, store=store)
        first.put(ONE, ERROR)
        first.put(TWO, ERROR)
        others = [
            KnownErrors(cache, OTHER, INPUTS, store=store),
            KnownErrors(cache, NETWORK, OTHER, store=store),
            KnownErrors(cache, NETWORK, INPUTS, store=store, factors={"fc": 0.3}),
            KnownErrors(cache, NETWORK, INPUTS, store=store, factors={}),
        ]
        for name in ("ERRORS_VERSION", "FACTORS_VERSION", "MOMENTS_VERSION"):
            monkeypatch.setattr(known_errors, name, 99)
            others.append(KnownErrors(cache, NETWORK, INPUTS, store=store))
            monkeypatch.undo()
        assert [other.get(plan) for other in others for plan in (ONE, TWO)] == [None] * 14

    def test_a_plans_own_factors_stay_in_the_cache(self, store: Store, cache: ArrayCache) -> None:
        """Other factors give other errors: these are no sensitivities of the network."""
        KnownErrors(cache, NETWORK, INPUTS, store=store, factors={}).put(ONE, ERROR)
        assert KnownErrors(cache, NETWORK, INPUTS, factors={}).get(ONE) == ERROR
        assert KnownErrors(cache, NETWORK, INPUTS, store=store).get(ONE) is None

    def test_two_processes_add_to_one_file(self, cache: ArrayCache) -> None:
        one, two = (KnownErrors(cache, NETWORK, INPUTS) for _ in range(2))
        one.put(ONE, ERROR)
        two.put(TWO, ERROR)
        again = KnownErrors(cache, NETWORK, INPUTS)
        assert again.get(ONE) == again.get(TWO) == ERROR

    def test_what_is_no_number_is_not_kept(self, store: Store, cache: ArrayCache) -> None:
        known = KnownErrors(cache, NETWORK, INPUTS, store=store)
        for plan in (ONE, TWO):
            known.put(plan, NetworkError(math.nan, math.nan))
        again = KnownErrors(cache, NETWORK, INPUTS, store=store)
        assert again.get(ONE) is again.get(TWO) is None


class TestErrorTrend:
    MEASURED = st.lists(
        st.tuples(st.floats(1e-6, 1.0), st.floats(0.5, 3.0), st.floats(1.0, 2.0)),
        min_size=1,
        max_size=6,
    )

    @given(MEASURED, st.floats(1e-8, 2.0))
    def test_only_near_what_was_measured_and_never_more_hopeful(
        self, measured: list[tuple[float, float, float]], asked: float
    ) -> None:
        """Each is (modelled squared error, its ratio to the measured error, to the bound)."""
        errors = [(sq, NetworkError(r * sq**0.5, r * m * sq**0.5)) for sq, r, m in measured]
        found = ErrorTrend.of(errors).at(asked)
        least, most = min(measured)[0], max(measured)[0]
        assert (found is None) == (asked > most or asked * REACH < least)
        if found is not None:
            above = min(sq for sq, *_ in measured if sq >= asked)
            ratio = min(ratio for sq, ratio, _ in measured if sq == above)
            assert found.value >= ratio * asked**0.5 * (1 - 1e-9)
            assert found.upper >= found.value * (1 - 1e-9)

    def test_a_proportional_network_is_told_exactly(self) -> None:
        trend = ErrorTrend.of((sq, NetworkError(sq**0.5, 1.5 * sq**0.5)) for sq in (0.01, 0.04))
        found = trend.at(0.0225)
        assert found is not None
        assert (found.value, found.upper) == pytest.approx((0.15, 0.225))

    def test_nothing_is_known(self) -> None:
        assert ErrorTrend.of([]).at(0.1) is None


class TestOldFiles:
    def fill(self, cache: ArrayCache, ages_s: list[float]) -> list[Path]:
        paths = []
        for number, age_s in enumerate(ages_s):
            cache.write("factors", number, {"a": np.zeros(1000)})
            paths.append(cache.path("factors", number))
            os.utime(paths[-1], (time.time() - age_s,) * 2)
        return paths

    def test_what_was_not_used_for_longest_makes_room(
        self, cache: ArrayCache, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(MAX_BYTES, "factors", 20_000)
        cache.write("made", 0, {"a": np.zeros(9000)})
        paths = self.fill(cache, [400, 300, 200, 100])
        cache.read("factors", 0)
        cache.trim()
        assert [path.exists() for path in paths] == [True, False, False, True]
        assert cache.has("made", 0)

    def test_unused(self, cache: ArrayCache) -> None:
        assert cache.unused(1) == []
        paths = self.fill(cache, [400, 300])
        assert cache.unused(350) == paths[:1]
