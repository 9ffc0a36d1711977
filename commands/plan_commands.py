"""From measurements to a smaller network: plan, apply, verify."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..workflow.store import DEFAULT_DB
from .errors import command, reporter, show, shown_anyway
from .options import (
    Backend,
    Batch,
    Calibration,
    Db,
    Debug,
    FinalDenseRatio,
    InputShape,
    Json,
    Mode,
    ModelArgument,
    PlanArgument,
    Preprocess,
    Ratio,
    Threads,
    Threshold,
    Weakening,
    Weights,
    parse_shape,
)


def plan(
    model: ModelArgument,
    backend: Backend,
    output: Annotated[Path, typer.Option("-o", "--output", help="The plan's file.")],
    max_error: Annotated[
        float | None, typer.Option(help="Limit on the network error (relative output error).")
    ] = None,
    target_speedup: Annotated[
        float | None, typer.Option(help="Least error at this speedup.")
    ] = None,
    max_params: Annotated[int | None, typer.Option(help="Limit on parameters.")] = None,
    max_weight_bytes: Annotated[
        int | None, typer.Option(help="Limit on the weights' bytes.")
    ] = None,
    evaluate: Annotated[
        str | None, typer.Option(metavar="package.module:callable", help="Your own score.")
    ] = None,
    floor: Annotated[float | None, typer.Option(help="Least score of --evaluate.")] = None,
    db: Db = DEFAULT_DB,
    weights: Weights = None,
    input_shape: InputShape = None,
    batch: Batch = None,
    threads: Threads = 1,
    calibration: Calibration = None,
    preprocess: Preprocess = None,
    trials: Annotated[
        int | None, typer.Option(help="Optuna trials (200; none with --no-refine).")
    ] = None,
    measured_trials: Annotated[
        int, typer.Option(help="Optuna trials that time and judge the assembled network.")
    ] = 8,
    sampler: Annotated[str, typer.Option(help="Optuna sampler by name.")] = "tpe",
    refine: Annotated[
        bool, typer.Option("--refine/--no-refine", help="Time the whole network, too.")
    ] = True,
    seed: Annotated[int, typer.Option(help="Seed of search and split.")] = 0,
    phase: Annotated[str, typer.Option(help="inference, training or both.")] = "inference",
    training_weight: Annotated[
        float, typer.Option(help="With --phase both: the share of training in what is saved.")
    ] = 0.5,
    mode: Mode = None,
    rank_selection: Annotated[
        str,
        typer.Option(help="search, or one rank a kind, by rule: pr, vbmf or energy."),
    ] = "search",
    ratio: Ratio = None,
    weakening: Weakening = None,
    threshold: Threshold = None,
    final_dense_ratio: FinalDenseRatio = None,
    json: Json = False,
    debug: Debug = False,
) -> None:
    """Choose kind and rank for each layer from what was measured, and write the plan."""
    with command(debug), shown_anyway(json):
        from ..workflow.plan import plan as run

        document = run(
            model,
            backend=backend,
            output=output,
            max_error=max_error,
            target_speedup=target_speedup,
            max_params=max_params,
            max_weight_bytes=max_weight_bytes,
            evaluate=evaluate,
            floor=floor,
            db=db,
            weights=weights,
            input_shape=parse_shape(input_shape),
            batch=batch,
            threads=threads,
            calibration=calibration,
            preprocess=preprocess,
            trials=trials,
            measured_trials=measured_trials,
            sampler=sampler,
            refine=refine,
            seed=seed,
            phase=phase,
            training_weight=training_weight,
            mode=mode or "vanilla",
            rank_selection=rank_selection,
            ratio=ratio,
            weakening=weakening,
            threshold=threshold,
            final_dense_ratio=final_dense_ratio,
            reporter=reporter(),
        )
        show(document, json)


def apply(
    plan: PlanArgument,
    model: ModelArgument,
    output: Annotated[Path, typer.Option("-o", "--output", help=".onnx, .pt2 or .safetensors.")],
    db: Db = DEFAULT_DB,
    weights: Weights = None,
    calibration: Annotated[
        Path | None,
        typer.Option("--calibration", "--data", help="The plan's pictures, or their .npz."),
    ] = None,
    preprocess: Preprocess = None,
    reestimate_bn: Annotated[
        bool,
        typer.Option(
            "--reestimate-bn",
            help="Estimate batch normalisation's statistics again on the calibration.",
        ),
    ] = False,
    match_channels: Annotated[
        bool,
        typer.Option(
            "--match-channels",
            help="Give each layer's channels the original's mean and deviation on the calibration, "
            "where batch normalisation is folded away.",
        ),
    ] = False,
    debug: Debug = False,
) -> None:
    """Write the compressed network."""
    with command(debug):
        from ..workflow.apply import apply as run

        run(
            plan,
            model,
            output=output,
            db=db,
            weights=weights,
            calibration=calibration,
            preprocess=preprocess,
            reestimate_bn=reestimate_bn,
            match_channels=match_channels,
            reporter=reporter(),
        )
        typer.echo(f"wrote {output}", err=True)


def verify(
    plan: PlanArgument,
    model: ModelArgument,
    backend: Annotated[str | None, typer.Option(help="Default: the plan's.")] = None,
    threads: Annotated[int | None, typer.Option(help="Default: the plan's.")] = None,
    phase: Annotated[str | None, typer.Option(help="Default: the plan's.")] = None,
    data: Annotated[
        Path | None, typer.Option("--data", "--calibration", help="The plan's pictures.")
    ] = None,
    preprocess: Preprocess = None,
    db: Db = DEFAULT_DB,
    weights: Weights = None,
    json: Json = False,
    debug: Debug = False,
) -> None:
    """Time the whole network against the original, compare outputs, and note both in the plan."""
    with command(debug), shown_anyway(json):
        from ..workflow.verify import verify as run

        document = run(
            plan,
            model,
            backend=backend,
            threads=threads,
            phase=phase,
            data=data,
            preprocess=preprocess,
            db=db,
            weights=weights,
            reporter=reporter(),
        )
        show(document, json)
