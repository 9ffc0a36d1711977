"""The front of speedup against fidelity: the best plan at each of several error limits."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .. import documents
from ..campaign.setup import load_pictures, make_setup
from ..db.store import Store
from ..errors import UsageError
from ..planner.candidate_policy import candidate_policy
from ..planner.plan_document import calibration_note
from ..planner.planner import Objective, Planner, PlanningOptions
from ..planner.refinement import refine
from ..reporter import Reporter, Silent
from .store import DEFAULT_DB

LIMITS = (0.02, 0.05, 0.1, 0.2, 0.4)
"""Network errors that a front is made for unless told otherwise."""


def front(
    model: Any,
    *,
    backend: str,
    limits: Sequence[float] = LIMITS,
    db: str = DEFAULT_DB,
    weights: Path | None = None,
    input_shape: Sequence[int] | None = None,
    batch: int | None = None,
    threads: int = 1,
    calibration: Path | None = None,
    preprocess: str | None = None,
    seed: int = 0,
    reporter: Reporter | None = None,
) -> documents.Front:
    """Points of rising speedup and network error, each the best additive plan at its limit.

    As `plan` without its study and without timing whole networks; sensitivities are measured
    once for all points. Raises as `plan` does.
    """
    if not limits or any(not limit > 0 for limit in limits):
        raise UsageError("a front needs limits on the network error that are more than 0")
    setup = make_setup(
        model,
        backend=backend,
        weights=weights,
        input_shape=input_shape,
        batch=batch,
        threads=threads,
    )
    said = reporter or Silent()
    with Store.open(db, create=False) as store:
        pictures = load_pictures(setup, calibration, preprocess, seed)
        options = PlanningOptions(db, 0, "tpe", False, seed, candidate_policy())
        planner = Planner(setup, store, Objective(max(limits)), options, pictures, said)
        points = _points(planner, sorted(set(limits)), said)
    return documents.Front(
        model=setup.model,
        device=documents.Fingerprint.of(setup.fingerprint),
        policies=[setup.policy.to_json()],
        layers=len(setup.network.layers),
        calibration=calibration_note(pictures),
        points=points,
    )


def _points(
    planner: Planner, limits: Sequence[float], reporter: Reporter
) -> list[documents.LimitPoint]:
    """One point for each different plan: at the smallest limit that gives it."""
    layers = planner.choices()
    found: dict[str, documents.LimitPoint] = {}
    for number, limit in enumerate(limits):
        reporter.progress(number, len(limits), f"network error up to {limit:g}")
        planner.aim_at(Objective(max_error=limit))
        best, budget = planner.solve_exactly(layers)
        predicted = refine(planner, layers, [best], budget).predicted
        point = documents.LimitPoint(
            max_error=limit,
            speedup=predicted.speedup,
            speedup_low=predicted.speedup_low,
            speedup_high=predicted.speedup_high,
            network_error=predicted.network_error,
            replaced=len(best.decisions),
        )
        found.setdefault(best.key, point)
    return undominated(list(found.values()))


def undominated(points: Sequence[documents.LimitPoint]) -> list[documents.LimitPoint]:
    """By rising network error, without those that are no faster than one of less error: the
    search is exact for modelled errors only."""
    kept: list[documents.LimitPoint] = []
    for point in sorted(points, key=lambda p: (p.network_error or 0.0, -(p.speedup or 0.0))):
        if not kept or (point.speedup or 0.0) > (kept[-1].speedup or 0.0):
            kept.append(point)
    return kept
