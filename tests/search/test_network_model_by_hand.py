"""The latency model against a plain Gaussian process: joint covariance, conditioning, mixture."""

from __future__ import annotations

from itertools import product
from statistics import NormalDist

import numpy as np
import pytest
from scipy.stats import multivariate_normal

from rankwise.search.network_model import Forecast, NetworkModel, Part, PlanParts, PlanRun

ORIGINAL_S = 0.1
GRID = list(product((0.03, 0.1, 0.3, 0.7), (0.003, 0.01, 0.03)))
"""Deviations of one candidate's saving and of a whole plan's, as the module's text has them."""


def plan(key: str, layers: str, scale: float = 1.0) -> PlanParts:
    """A letter is a candidate: `aab` replaces two layers by the same one and a third by another."""
    savings = {"a": 0.02, "b": 0.01, "c": 0.015}
    parts = (Part(name, savings[name] * scale, 0.1 * savings[name]) for name in layers)
    return PlanParts(key, tuple(parts))


def covariance(one: PlanParts, other: PlanParts, own: float, unknown: float) -> float:
    total = unknown**2 * (one.key == other.key)
    for left, right in product(one.parts, other.parts):
        shares = left.saving_s * right.saving_s / ORIGINAL_S**2
        total += 0.15**2 * shares
        if left.key == right.key:
            total += own**2 * shares + left.saving_se_s * right.saving_se_s / ORIGINAL_S**2
    return total


def posterior(new: PlanParts, runs: list[PlanRun]) -> tuple[float, float]:
    """Mean and variance of the share of time saved."""
    plans = [new, *(run.plan for run in runs)]
    prior = np.array([0.9 * sum(p.saving_s for p in one.parts) / ORIGINAL_S for one in plans])
    noise = np.diag([run.share_se**2 for run in runs])
    seen = np.array([run.share for run in runs])
    likelihoods, means, variances = [], [], []
    for own, unknown in GRID:
        joint = np.array([[covariance(p, q, own, unknown) for q in plans] for p in plans])
        if runs:
            known = joint[1:, 1:] + noise
            likelihoods.append(multivariate_normal(prior[1:], known).pdf(seen))
            gain = joint[0, 1:] @ np.linalg.inv(known)
            means.append(prior[0] + gain @ (seen - prior[1:]))
            variances.append(joint[0, 0] - gain @ joint[1:, 0])
        else:
            likelihoods.append(1.0)
            means.append(prior[0])
            variances.append(joint[0, 0])
    weights = np.array(likelihoods) / sum(likelihoods)
    mean = weights @ means
    second = weights @ (np.array(variances) + np.square(means))
    return float(mean), float(second - mean**2)


def moments_of(forecast: Forecast) -> tuple[float, float]:
    """Mean and variance of the share, out of what is promised: an interval that is symmetric in
    the share, and never narrower than a relative percent."""
    left = 1 / forecast.speedup
    reach = 1 / forecast.speedup_low - left
    spread = reach / NormalDist().inv_cdf(0.975)
    return 1 - left, spread**2 - (0.01 * left) ** 2


RUNS = [
    PlanRun(plan("one", "a"), 0.05, 0.004),
    PlanRun(plan("two", "ab"), 0.13, 0.003),
    PlanRun(plan("three", "aac"), 0.60, 0.006),
]
"""Runs that contradict one another: means differ over the grid, and by more than a little."""


@pytest.mark.parametrize("count", [0, 1, 2, 3])
@pytest.mark.parametrize("layers", ["a", "c", "abc", "aabb"])
def test_it_is_a_mixture_of_gaussian_processes(layers: str, count: int) -> None:
    new = plan("new", layers)
    model = NetworkModel(ORIGINAL_S, RUNS[:count])
    mean, variance = posterior(new, RUNS[:count])
    found_mean, found_variance = moments_of(model.forecast(new))
    assert found_mean == pytest.approx(mean, rel=1e-6)
    assert found_variance == pytest.approx(variance, rel=1e-4)


def test_a_plan_that_was_timed_is_told_by_its_own_run() -> None:
    model = NetworkModel(ORIGINAL_S, RUNS)
    for run in RUNS:
        mean, variance = posterior(run.plan, RUNS)
        forecast = model.forecast(run.plan)
        assert forecast.own_run
        assert moments_of(forecast) == pytest.approx((mean, variance), rel=1e-4)
    assert not model.forecast(plan("new", "ab")).own_run


def test_savings_are_shares_of_the_originals_time() -> None:
    model = NetworkModel(ORIGINAL_S, RUNS)
    expected = [posterior(plan("alone", name), RUNS)[0] * ORIGINAL_S for name in "ac"]
    assert model.savings(plan("new", "ac")) == pytest.approx(expected, rel=1e-6)


def test_each_run_is_held_out_with_all_runs_of_its_plan() -> None:
    again = PlanRun(RUNS[0].plan, 0.07, 0.004)
    runs = [*RUNS, again]
    expected = []
    for run in runs:
        mean, _ = posterior(run.plan, [other for other in runs if other.plan != run.plan])
        expected.append((1 - run.share) / (1 - min(mean, 0.99)) - 1)
    model = NetworkModel(ORIGINAL_S, runs)
    assert model.held_out() == pytest.approx(np.median(np.abs(expected)), rel=1e-5)
    assert NetworkModel(ORIGINAL_S, runs[:2]).held_out() is None
    assert NetworkModel(ORIGINAL_S, runs[:3]).held_out() is not None


def test_promises_end_at_a_hundredfold() -> None:
    """Savings measured alone may add up to more than the whole network takes."""
    forecast = NetworkModel(ORIGINAL_S, []).forecast(plan("new", "aaa", scale=10))
    assert forecast.speedup == pytest.approx(100)
    assert forecast.speedup_high == pytest.approx(100)
    assert forecast.speedup_low < 100


def test_a_run_says_what_its_interval_says() -> None:
    speedup, reach = 1.25, 1.03
    run = PlanRun.of_speedup(plan("p", "a"), speedup, (speedup / reach, speedup * reach))
    assert run.share == pytest.approx(0.2)
    assert run.share_se == pytest.approx(np.log(reach) / 1.959964 * 0.8, rel=1e-6)


@pytest.mark.parametrize("original_s", [0.0, -1.0, float("nan")])
def test_a_network_that_takes_no_time_is_refused(original_s: float) -> None:
    with pytest.raises(ValueError, match="positive"):
        NetworkModel(original_s, [])
