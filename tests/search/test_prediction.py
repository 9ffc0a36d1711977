"""Predicted latency of a network, and the factor that whole-network runs teach."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rankwise.search.prediction import PRIOR_SCALE, PRIOR_SCALE_SE, fit_scale, predict


def test_savings_are_taken_off_the_measured_network() -> None:
    found = predict(0.1, [0.01, 0.02, 0.02], [0.0, 0.0, 0.0], floor=0.0)
    assert found.latency_s == pytest.approx(0.05)
    assert found.speedup == pytest.approx(2.0)
    assert found.speedup_low == pytest.approx(2.0)
    assert found.speedup_high == pytest.approx(2.0)


def test_the_interval_holds_all_three_doubts() -> None:
    found = predict(0.1, [0.03, 0.02], [3e-3, 4e-3], scale=0.9, scale_se=0.1, floor=0.02)
    latency = 0.1 - 0.9 * 0.05
    spread = math.sqrt((0.9 * 5e-3) ** 2 + (0.1 * 0.05) ** 2 + (0.02 * latency) ** 2)
    assert found.speedup_low == pytest.approx(0.1 / (latency + 1.959964 * spread))
    assert found.speedup_high == pytest.approx(0.1 / (latency - 1.959964 * spread))


def test_nothing_replaced_is_no_speedup() -> None:
    assert predict(0.1, [], []).speedup == 1.0


@given(
    st.lists(st.tuples(st.floats(-1, 10), st.floats(0, 10)), max_size=5),
    st.floats(0, 2),
    st.floats(0, 1),
)
def test_predictions_stay_positive_and_inside_their_interval(
    layers: list[tuple[float, float]], scale: float, scale_se: float
) -> None:
    found = predict(1.0, [s for s, _ in layers], [e for _, e in layers], scale, scale_se)
    assert found.latency_s > 0
    assert 0 < found.speedup_low <= found.speedup <= found.speedup_high < math.inf


def test_a_latency_of_zero_is_refused() -> None:
    with pytest.raises(ValueError, match="positive"):
        predict(0.0, [], [])


def test_without_runs_the_prior_stands() -> None:
    fit = fit_scale([])
    assert (fit.scale, fit.se, fit.error, fit.runs) == (PRIOR_SCALE, PRIOR_SCALE_SE, None, 0)


def test_one_run_pulls_the_factor_towards_it() -> None:
    fit = fit_scale([(1.0, 0.7)])
    assert 0.7 < fit.scale < PRIOR_SCALE
    assert fit.se < PRIOR_SCALE_SE
    assert fit.error is None


def test_many_runs_outweigh_the_prior() -> None:
    fit = fit_scale([(x, 0.7 * x) for x in (1.0, 2.0, 3.0, 4.0) * 5])
    assert fit.scale == pytest.approx(0.7, abs=0.01)
    assert fit.error == pytest.approx(0.0, abs=0.01)


def test_scatter_widens_the_factors_error() -> None:
    tight = fit_scale([(1.0, 0.8), (1.0, 0.81), (1.0, 0.79)])
    wide = fit_scale([(1.0, 0.8), (1.0, 1.1), (1.0, 0.5)])
    assert wide.se > tight.se


def test_the_held_out_error_can_be_relative_to_the_latency() -> None:
    pairs = [(1.0, 0.9), (2.0, 1.7), (1.5, 1.3)]
    saving, latency = fit_scale(pairs).error, fit_scale(pairs, original_s=100.0).error
    assert saving is not None
    assert latency is not None
    assert latency < saving / 10


def test_runs_that_say_nothing_are_left_out() -> None:
    assert fit_scale([(0.0, 1.0), (-1.0, 1.0), (math.nan, 1.0)]).runs == 0


@given(st.lists(st.tuples(st.floats(1e-6, 1), st.floats(-1, 1)), max_size=8), st.floats(1, 1e3))
def test_the_factor_has_no_unit(pairs: list[tuple[float, float]], unit: float) -> None:
    scaled = fit_scale([(unit * x, unit * y) for x, y in pairs])
    fit = fit_scale(pairs)
    assert scaled.scale == pytest.approx(fit.scale, rel=1e-6, abs=1e-9)
    assert scaled.se == pytest.approx(fit.se, rel=1e-6)
