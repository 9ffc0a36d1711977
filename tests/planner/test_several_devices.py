"""One plan for three planted devices: against brute force, and as the devices see it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import rankwise as rw
from rankwise.campaign.setup import make_setup, wanted_policy
from rankwise.campaign.stored_devices import NOT_HERE, setups_of
from rankwise.db.store import Store
from rankwise.errors import BackendError, UsageError
from rankwise.models.network import Network
from rankwise.models.pictures import Calibration
from rankwise.planner import problem as module
from rankwise.planner.candidate_policy import candidate_policy
from rankwise.planner.objective import Objective, PlanningOptions
from rankwise.planner.problem import PlanProblem, choices, make_problems
from rankwise.planner.several_devices import common_layers, find_common
from rankwise.search.common import CommonSolver, DeviceSavings
from rankwise.search.exact import SolverLimits, solve
from rankwise.search.space import Assignment
from rankwise.stats import verdict

PLANTED = (
    "fake:step=8",  # launches cost much
    "fake:step=8,launch_us=1,gmacs=20",
    "fake:step=16,launch_us=2,gmacs=5",  # arithmetic costs all
)
KINDS = ("spatial_svd", "channel_svd")
ASKED = wanted_policy("inference", "isolated", 1, "float32", "eager", "default")


@pytest.fixture(scope="module")
def measured(network: Network, tmp_path_factory: pytest.TempPathFactory) -> str:
    db = f"sqlite:///{tmp_path_factory.mktemp('devices')}/store.db"
    for backend in PLANTED:
        rw.profile(network, backend=backend, db=db, kinds=KINDS)
    return db


@pytest.fixture
def problems(
    measured: str, network: Network, calibration: Calibration, told: Any
) -> Iterator[list[PlanProblem]]:
    with Store.open(measured) as store:
        options = PlanningOptions(
            db=measured,
            candidate_policy=candidate_policy(),
            trials=0,
            sampler="tpe",
            refine=True,
            seed=0,
        )
        setups = setups_of(["fake"], store, network, ASKED, PLANTED[0])
        objective = Objective(max_error=0.3)
        yield make_problems(setups, store, objective, options, calibration, told)


def solver_of(problems: list[PlanProblem]) -> tuple[list[Any], CommonSolver]:
    """All choices, and what each saves on each device, by this test's own reckoning."""
    layers = common_layers([choices(problem) for problem in problems])
    savings = []
    for problem in problems:
        saved = {}
        for (spec_key, way), row in problem.table.items():
            faster = verdict(row.speedup_low, row.speedup_high) == "FASTER"
            counted = row.saving_s if faster else min(row.saving_s, 0.0)
            for use in problem.setup.network.layers:
                if use.spec is not None and use.spec.key == spec_key:
                    saved[use.name, way] = counted
        savings.append(DeviceSavings(problem.original_latency_s(), saved))
    return layers, CommonSolver(tuple(savings))


def every(layers: list[Any]) -> list[Assignment]:
    names = tuple(layer.name for layer in layers)
    return [Assignment(names, plan) for plan in product(*(layer.choices for layer in layers))]


@pytest.mark.parametrize("max_error", [0.1, 0.3])
def test_no_plan_has_a_larger_least_gain(problems: list[PlanProblem], max_error: float) -> None:
    layers, solver = solver_of(problems)
    limits = SolverLimits(max_error**2)
    allowed = [plan for plan in every(layers[0]) if limits.allow(plan)]
    assert len(allowed) >= 20
    found = solver.solve(layers[0], limits)
    least = min(solver.gains(found))
    assert least == pytest.approx(max(min(solver.gains(p)) for p in allowed), rel=2e-4)
    for problem in problems:
        own = solve(choices(problem), limits)
        assert min(solver.gains(own)) <= least * (1 + 2e-4)


def test_the_plan_says_what_it_does_on_each_device(problems: list[PlanProblem]) -> None:
    plan = find_common(problems).document
    assert plan.decisions
    assert [one.timed for one in plan.on_devices] == [True, False, False]
    assert [one.reason for one in plan.on_devices] == ["", NOT_HERE, NOT_HERE]
    assert {one.predicted.network_error for one in plan.on_devices} == {
        plan.predicted.network_error
    }
    gains = {one.device.hardware_key: one.predicted.speedup for one in plan.on_devices}
    assert plan.device.hardware_key == min(gains, key=lambda key: gains[key] or 0)
    assert plan.predicted.speedup == min(gains.values())
    assert plan.promise is not None
    assert plan.promise.confirmed
    for one, backend in zip(plan.on_devices, PLANTED, strict=True):
        assert (
            one.device.hardware_key
            == make_setup(problems[0].setup.network, backend=backend).fingerprint.hardware_key
        )


def test_pictures_are_asked_once_for_all_devices(
    measured: str,
    network: Network,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    asked = []
    gather = module.gather_evidence

    def counted(*given: Any) -> Any:
        asked.append(given[1])
        return gather(*given)

    monkeypatch.setattr(module, "gather_evidence", counted)
    np.savez(tmp_path / "rows.npz", np.random.default_rng(0).normal(size=(16, 3, 12, 12)))
    plan = rw.plan(
        network,
        devices=["fake"],
        db=measured,
        max_error=0.3,
        calibration=tmp_path / "rows.npz",
        refine=False,
        output=tmp_path / "plan.json",
    )
    assert len(asked) == 1
    written = sorted(path.name for path in tmp_path.glob("plan*.json"))
    keys = sorted(one.device.hardware_key[:6] for one in plan.on_devices)
    assert written == [*(f"plan.fake-{key}.json" for key in keys), "plan.json"]
    with Store.open(measured) as store:
        for one in plan.on_devices:
            assert one.own_plan is not None
            own = store.plans.get(one.own_plan)
            assert own is not None
            assert own["device"]["hardware_key"] == one.device.hardware_key
            assert own["predicted"]["speedup"] == one.own_speedup
            path = tmp_path / f"plan.fake-{one.device.hardware_key[:6]}.json"
            assert json.loads(path.read_text())["layers"] == own["layers"]


class TestStoredDevices:
    def test_a_device_that_is_elsewhere_runs_nothing(self, problems: list[PlanProblem]) -> None:
        elsewhere = problems[1].setup.backend
        assert elsewhere.probe() == NOT_HERE
        assert elsewhere.accepts == ()
        with pytest.raises(BackendError, match="phase training"):
            problems[1].setup.in_phase("training")

    def test_a_device_is_named_by_its_key(self, measured: str, network: Network) -> None:
        key = make_setup(network, backend=PLANTED[2]).fingerprint.hardware_key
        with Store.open(measured) as store:
            [setup] = setups_of([key], store, network, ASKED)
        assert setup.fingerprint.hardware_key == key

    @pytest.mark.parametrize(("name", "batch"), [("torch-cpu", 1), ("fake", 4)])
    def test_a_device_without_rows_is_refused(
        self, measured: str, network: Network, name: str, batch: int
    ) -> None:
        with (
            Store.open(measured) as store,
            pytest.raises(UsageError, match=f"on --device {name} .* batch {batch}"),
        ):
            setups_of([name], store, network, replace(ASKED, batch=batch))
