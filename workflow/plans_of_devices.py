"""`rankwise plan --device A --device B`: one plan for all of them, and each one's own beside it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from ..campaign.setup import Setup, wanted_policy
from ..campaign.stored_devices import setups_of
from ..db.store import Store
from ..documents.plan_files import beside, write_plan
from ..errors import GoalNotReached, UsageError
from ..models.source import network_of
from ..options.device_query import DeviceQuery
from ..options.keywords import arguments_for
from ..options.planning import PlanOptions
from ..planner.find_plan import FoundPlan, find_plan
from ..planner.objective import Objective, PlanningOptions
from ..planner.precision import INT8
from ..planner.problem import PlanProblem, make_problems
from ..planner.several_devices import find_common
from ..reporter import Listeners
from .fleet_devices import fits


def plan_for_devices(
    options: PlanOptions, objective: Objective, planning: PlanningOptions, phase: str
) -> FoundPlan:
    """One plan for all devices, which knows each one's own. All are stored, the devices' own are
    written beside `output`. Raises `UsageError` for a device that was not measured."""
    with Store.open(options.db, create=False) as store:
        setups = _setups(options, store, phase)
        pictures = setups[0].pictures(options.calibration, options.preprocess, options.seed)
        reporter = Listeners.of(options.reporter)
        problems = make_problems(setups, store, objective, planning, pictures, reporter)
        own = [_own(problem, store, options.output) for problem in problems]
        reporter.message(f"one plan for {len(problems)} devices")
        outcome = find_common(problems)
        of_devices = zip(outcome.document.on_devices, own, strict=True)
        outcome.document.on_devices = [one.model_copy(update=extra) for one, extra in of_devices]
        store.plans.put(outcome.document.model_dump(mode="json"))
    return outcome


def _setups(options: PlanOptions, store: Store, phase: str) -> list[Setup]:
    network = network_of(**arguments_for(network_of, options))
    if options.dtype == INT8:
        raise UsageError("a plan for several devices is not made in int8: leave --dtype out")
    asked = wanted_policy(phase, "isolated", options.threads, options.dtype, "eager", "default")
    asked = replace(asked, batch=network.inputs.batch)
    named = isinstance(options.model, str | Path)
    where = store, network, asked
    names = [name for text in options.devices for name in _meant(text, store)]
    return setups_of(names, *where, options.backend, options.weights, named)


def _meant(text: str, store: Store) -> list[str]:
    """What `setups_of` takes: the hardware keys of the fleet's devices that a query fits. Raises
    `UsageError` if there are none."""
    if "=" not in text:
        return [text]
    query = DeviceQuery.parse(text)
    devices, _ = store.fleet.all()
    keys = {device.hardware_key for device in devices if fits(query, device)}
    if not keys:
        raise UsageError(f"the fleet of this store has no device that fits {query}")
    return sorted(keys)


def _own(problem: PlanProblem, store: Store, output: Path | None) -> dict[str, object]:
    """The best plan of one device alone, as the common one notes it."""
    setup = problem.setup
    problem.reporter.message(f"the best plan for {_name(setup)}")
    try:
        document = find_plan(problem).document
    except GoalNotReached as error:
        problem.reporter.message(f"no plan for {_name(setup)}: {error}")
        return {}
    if output is not None:
        write_plan(document, beside(output, document.device))
    key = store.plans.put(document.model_dump(mode="json"))
    return {"own_plan": key, "own_speedup": document.predicted.speedup}


def _name(setup: Setup) -> str:
    return f"{setup.fingerprint.backend} {setup.fingerprint.hardware_key[:6]}"
