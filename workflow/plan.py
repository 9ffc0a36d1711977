"""`rankwise plan`: checks what was asked for, and writes the plan that a planner makes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .. import documents
from ..campaign.setup import load_pictures, make_setup
from ..db.store import Store
from ..documents.plan_files import write_plan
from ..errors import GoalNotReached, UsageError
from ..models.output_files import check_output
from ..planner.candidate_policy import candidate_policy
from ..planner.planner import Objective, Planner, PlanningOptions
from ..reporter import Reporter, Silent
from .store import DEFAULT_DB

BOTH = "both"
MEASURED_TRIALS = 8
"""Of whole networks; each takes seconds."""
DEFAULT_TRIALS = 200
"""Of a plan that is refined in the network. One that is not knows only sums, of which the exact
solution is proven to be the best: a study could not find a better one."""


def plan(
    model: Any,
    example_input: Any = None,
    *,
    backend: str,
    output: Path | None = None,
    max_error: float | None = None,
    target_speedup: float | None = None,
    max_params: int | None = None,
    max_weight_bytes: int | None = None,
    evaluate: str | None = None,
    floor: float | None = None,
    db: str = DEFAULT_DB,
    weights: Path | None = None,
    input_shape: Sequence[int] | None = None,
    batch: int | None = None,
    threads: int = 1,
    calibration: Path | None = None,
    preprocess: str | None = None,
    trials: int | None = None,
    measured_trials: int = MEASURED_TRIALS,
    sampler: str = "tpe",
    refine: bool = True,
    seed: int = 0,
    phase: str = "inference",
    training_weight: float = 0.5,
    mode: str = "vanilla",
    rank_selection: str = "search",
    ratio: float | None = None,
    weakening: float | None = None,
    threshold: float | None = None,
    final_dense_ratio: float | None = None,
    reporter: Reporter | None = None,
) -> documents.Plan:
    """Choose a kind and rank for each layer; write the plan to `output` if it is given.

    `trials` of the Optuna study are by default `DEFAULT_TRIALS` with `refine`, else none. Without
    `refine` no network is timed, and none is run either where the errors of plans that were
    measured earlier say what this one's is.

    Only candidates whose measured verdict is FASTER are used, and only for layers of the
    compression mode. With a `rank_selection` other than search each kind offers one candidate,
    the measured one nearest to what that rule chooses. `phase`: inference, training (rows of
    whole training steps), or both: then a training step counts `training_weight` of what is
    saved, and inference the rest. Raises `UsageError` if nothing was measured for this network,
    device and policy, `GoalNotReached` (after writing the best plan there is) if the limits
    cannot be met.
    """
    objective = Objective(max_error, target_speedup, max_params, max_weight_bytes, evaluate, floor)
    objective.check()
    if output is not None:
        check_output(output, model, weights)
    layers = candidate_policy(
        mode,
        rank_selection,
        ratio=ratio,
        weakening=weakening,
        threshold=threshold,
        final_dense_ratio=final_dense_ratio,
    )
    setup = make_setup(
        model,
        backend=backend,
        example_input=example_input,
        weights=weights,
        input_shape=input_shape,
        batch=batch,
        threads=threads,
        phase="inference" if phase == BOTH else phase,
    )
    if not 0 < training_weight < 1:
        raise UsageError(f"--training-weight must lie between 0 and 1, not {training_weight}")
    with Store.open(db, create=False) as store:
        options = PlanningOptions(
            db,
            (DEFAULT_TRIALS if refine else 0) if trials is None else trials,
            sampler,
            refine,
            seed,
            layers,
            training_weight if phase == BOTH else None,
            measured_trials,
            estimate=not refine,
        )
        pictures = load_pictures(setup, calibration, preprocess, seed)
        planner = Planner(setup, store, objective, options, pictures, reporter or Silent())
        document, shortfall = planner.run()
        store.put_plan(document.model_dump(mode="json"))
    if output is not None:
        write_plan(document, output)
    if shortfall:
        raise GoalNotReached(shortfall, document)
    return document
