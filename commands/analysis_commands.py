"""Looking around before and after a plan: pareto, explain, what-if."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..workflow.store import DEFAULT_DB
from .errors import command, reporter, show
from .options import (
    Backend,
    Batch,
    Calibration,
    Db,
    Debug,
    InputShape,
    Json,
    Mode,
    ModelArgument,
    PlanArgument,
    Preprocess,
    Threads,
    Weights,
    parse_shape,
)


def pareto(
    model: ModelArgument,
    backend: Backend,
    max_error: Annotated[
        float, typer.Option(help="Largest network error on the front, as it is modelled.")
    ] = 0.5,
    points: Annotated[int, typer.Option(help="Error limits to solve for.")] = 12,
    trials: Annotated[int, typer.Option(help="Trials of a study with two objectives.")] = 0,
    sampler: Annotated[str, typer.Option(help="Optuna sampler by name.")] = "nsgaii",
    refine: Annotated[
        bool, typer.Option("--refine/--no-refine", help="Time every point as a whole network.")
    ] = False,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Draw the front: an .svg file.")
    ] = None,
    db: Db = DEFAULT_DB,
    weights: Weights = None,
    input_shape: InputShape = None,
    batch: Batch = None,
    threads: Threads = 1,
    calibration: Calibration = None,
    preprocess: Preprocess = None,
    mode: Mode = None,
    seed: Annotated[int, typer.Option(help="Seed of search and split.")] = 0,
    json: Json = False,
    debug: Debug = False,
) -> None:
    """The front of speedup against fidelity, as table, picture or JSON."""
    with command(debug):
        from ..workflow.pareto import pareto as run

        document = run(
            model,
            backend=backend,
            max_error=max_error,
            points=points,
            trials=trials,
            sampler=sampler,
            refine=refine,
            db=db,
            weights=weights,
            input_shape=parse_shape(input_shape),
            batch=batch,
            threads=threads,
            calibration=calibration,
            preprocess=preprocess,
            mode=mode or "vanilla",
            seed=seed,
            reporter=reporter(),
        )
        if output is not None:
            from ..report.front import write_front

            write_front(document, output)
        show(document, json)


def explain(
    plan: Annotated[Path | None, typer.Argument(metavar="[PLAN]", show_default=False)] = None,
    layer: Annotated[str | None, typer.Option(help="Only this layer, all candidates.")] = None,
    device: Annotated[str | None, typer.Option(help="Backend or hardware key.")] = None,
    db: Db = DEFAULT_DB,
    json: Json = False,
    debug: Debug = False,
) -> None:
    """Why a layer is or is not faster: costs, traffic, launches, alignment, against its verdict."""
    with command(debug):
        from ..workflow.explain import explain as run

        show(run(plan, layer=layer, device=device, db=db), json)


def what_if(
    plan: PlanArgument,
    model: Annotated[str | None, typer.Argument(metavar="[MODEL]", show_default=False)] = None,
    calibration: Calibration = None,
    preprocess: Preprocess = None,
    db: Db = DEFAULT_DB,
    weights: Weights = None,
    json: Json = False,
    debug: Debug = False,
) -> None:
    """Time, MACs, parameters and error of a hand-edited plan, without timing the network."""
    with command(debug):
        from ..workflow.what_if import what_if as run

        document = run(
            plan,
            model,
            calibration=calibration,
            preprocess=preprocess,
            weights=weights,
            db=db,
        )
        show(document, json)
