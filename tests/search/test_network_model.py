"""The latency model against planted networks: bias, deviations, interactions."""

from __future__ import annotations

from statistics import median

import numpy as np
import pytest

from rankwise.records import Comparison
from rankwise.search.network_model import Forecast, NetworkModel, Part, PlanParts, PlanRun

ORIGINAL_S = 0.1
NOISE = 0.005


class Planted:
    """A network of layers whose savings in it are `scale` times the isolated ones, each with a
    deviation of its own, and whose plans interact a little."""

    def __init__(self, seed: int, layers: int = 20, scale: float = 0.8, own: float = 0.2) -> None:
        self.rng = np.random.default_rng(seed)
        self.alone = ORIGINAL_S * self.rng.dirichlet(np.full(layers, 2.0)) * 0.55
        self.truth = self.alone * scale * (1 + self.rng.normal(0, own, layers))

    def plan(self, key: str, share: float = 0.5) -> tuple[PlanParts, float]:
        """Random layers; and the plan's true share of time saved."""
        chosen = np.flatnonzero(self.rng.random(len(self.alone)) < share)
        parts = tuple(Part(str(n), float(self.alone[n]), 0.01 * self.alone[n]) for n in chosen)
        saved = self.truth[chosen].sum() / ORIGINAL_S + self.rng.normal(0, 0.004)
        return PlanParts(key, parts), float(saved)

    def run(self, key: str, share: float = 0.5) -> PlanRun:
        plan, saved = self.plan(key, share)
        return PlanRun(plan, saved + float(self.rng.normal(0, NOISE)), NOISE)


@pytest.mark.parametrize("scale", [0.5, 0.8, 1.1])
def test_plans_that_it_was_not_told_are_predicted(scale: float) -> None:
    errors, inside, widths = [], [], []
    for seed in range(20):
        planted = Planted(seed, scale=scale)
        model = NetworkModel(ORIGINAL_S, [planted.run(str(n)) for n in range(8)])
        for number in range(5):
            plan, saved = planted.plan(f"new {number}")
            found, true = model.forecast(plan), 1 / (1 - saved)
            errors.append(abs(found.speedup / true - 1))
            inside.append(found.speedup_low <= true <= found.speedup_high)
            widths.append(found.speedup_high / found.speedup - 1)
            assert not found.own_run
    assert np.median(errors) <= 0.02
    assert np.mean(inside) >= 0.9
    assert np.median(widths) <= 0.06


def test_it_is_better_than_the_sum_of_isolated_savings() -> None:
    ours, sums = [], []
    for seed in range(20):
        planted = Planted(seed)
        model = NetworkModel(ORIGINAL_S, [planted.run(str(n)) for n in range(8)])
        plan, saved = planted.plan("new")
        alone = sum(part.saving_s for part in plan.parts) / ORIGINAL_S
        ours.append(abs((1 - saved) / (1 - (1 - 1 / model.forecast(plan).speedup)) - 1))
        sums.append(abs((1 - saved) / (1 - alone) - 1))
    assert np.median(ours) <= 0.5 * np.median(sums)


def test_a_plan_does_not_promise_what_its_own_run_contradicts() -> None:
    """Measured alone the layers promise 1.25; the network that has them gains 3%."""
    parts = tuple(Part(str(n), 0.004, 1e-4) for n in range(5))
    plan = PlanParts("p", parts)
    before = NetworkModel(ORIGINAL_S, []).forecast(plan)
    after = NetworkModel(ORIGINAL_S, [PlanRun(plan, 0.03, 0.003)]).forecast(plan)
    assert before.speedup > 1.15
    assert after.own_run
    assert after.speedup == pytest.approx(1.03, abs=0.01)
    assert after.speedup_low < 1.031 < after.speedup_high
    assert after.speedup_high / after.speedup < before.speedup_high / before.speedup


def test_the_held_out_error_is_that_of_plans_it_was_not_told() -> None:
    planted = Planted(1)
    runs = [planted.run(str(n)) for n in range(5)]
    errors = []
    for run in runs:
        others = NetworkModel(ORIGINAL_S, [one for one in runs if one is not run])
        errors.append(abs(others.forecast(run.plan).speedup * (1 - run.share) - 1))
    error = NetworkModel(ORIGINAL_S, runs).held_out()
    assert error == pytest.approx(median(errors))
    assert max(errors) > error
    assert NetworkModel(ORIGINAL_S, runs[:2]).held_out() is None


def test_savings_in_the_network_are_told_apart() -> None:
    """One layer saves nothing there, whatever it saves alone; runs with and without it tell."""
    alone = {"a": 0.01, "b": 0.01, "c": 0.01}
    real = {"a": 0.01, "b": 0.0, "c": 0.01}
    runs = []
    for number, names in enumerate(("a", "b", "c", "ab", "bc", "ac", "abc")):
        plan = PlanParts(str(number), tuple(Part(n, alone[n], 1e-4) for n in names))
        runs.append(PlanRun(plan, sum(real[n] for n in names) / ORIGINAL_S, 0.003))
    model = NetworkModel(ORIGINAL_S, runs)
    a, b, c = model.savings(PlanParts("x", tuple(Part(n, alone[n], 1e-4) for n in "abc")))
    assert b < 0.25 * min(a, c)
    assert a == pytest.approx(0.01, rel=0.25)


def test_layers_that_compute_the_same_learn_together() -> None:
    twice = PlanParts("two", (Part("k", 0.01, 1e-4), Part("k", 0.01, 1e-4)))
    once = PlanParts("one", (Part("k", 0.01, 1e-4),))
    model = NetworkModel(ORIGINAL_S, [PlanRun(once, 0.05, 0.001)])
    assert model.forecast(twice).speedup == pytest.approx(1 / (1 - 0.1), rel=0.03)


def test_a_comparison_gives_share_and_error() -> None:
    found = Comparison(1.25, 1.25 / 1.02, 1.25 * 1.02, 0, 0, 0, 0.1, 0.08, 3, 30)
    run = PlanRun.of(PlanParts("p", ()), found)
    assert run.share == pytest.approx(0.2)
    assert run.share_se == pytest.approx(0.8 * 0.0198 / 1.96, rel=0.01)


def test_nothing_replaced_saves_nothing() -> None:
    found = NetworkModel(ORIGINAL_S, []).forecast(PlanParts("original", ()))
    assert found == Forecast(1.0, 1.0, 1.0, False)
    with pytest.raises(ValueError, match="positive"):
        NetworkModel(0.0, [])
