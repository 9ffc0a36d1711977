"""Quality back, after decomposition: recover, finetune."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..workflow.store import DEFAULT_DB
from .errors import command, reporter, show
from .options import (
    Calibration,
    Db,
    Debug,
    Json,
    ModelArgument,
    PlanArgument,
    Preprocess,
    Weights,
    parse_duration,
)

Output = Annotated[Path, typer.Option("-o", "--output", help=".onnx, .pt2 or .safetensors.")]
Budget = Annotated[str | None, typer.Option(metavar="5m", help="Train for this long.")]
Steps = Annotated[int | None, typer.Option(help="Train for so many steps.")]
Freeze = Annotated[
    str,
    typer.Option(help="sequential[:STEPS] freezes part of the factors in turns of so many steps."),
]


def recover(
    plan: PlanArgument,
    model: ModelArgument,
    data: Annotated[Path, typer.Option(help="Pictures: a folder, or an .npz of ready tensors.")],
    output: Output,
    preprocess: Preprocess = None,
    budget: Budget = None,
    steps: Steps = None,
    batch: Annotated[int, typer.Option(help="Examples of one step.")] = 8,
    rate: Annotated[float, typer.Option(help="Highest rate, as a share of each weight.")] = 5e-4,
    features: Annotated[
        float, typer.Option(help="Weight of replaced layers' outputs beside the network's.")
    ] = 1.0,
    freeze: Freeze = "none",
    resume: Annotated[bool, typer.Option(help="Go on from the checkpoint beside OUT.")] = False,
    seed: Annotated[int, typer.Option(help="Seed of the examples.")] = 0,
    threads: Annotated[int | None, typer.Option(help="Default: torch's.")] = None,
    db: Db = DEFAULT_DB,
    weights: Weights = None,
    json: Json = False,
    debug: Debug = False,
) -> None:
    """Train the plan's network, without labels, to answer as the original does."""
    with command(debug):
        from ..workflow.recover import recover as run

        document = run(
            plan,
            model,
            data=data,
            output=output,
            preprocess=preprocess,
            budget_s=parse_duration(budget, "--budget"),
            steps=steps,
            batch=batch,
            rate=rate,
            features=features,
            freeze=freeze,
            resume=resume,
            seed=seed,
            threads=threads,
            db=db,
            weights=weights,
            reporter=reporter(),
        )
        show(document, json)


def finetune(
    plan: PlanArgument,
    function: Annotated[
        str,
        typer.Argument(
            metavar="FUNCTION", help="package.module:callable(model, groups, callbacks)."
        ),
    ],
    output: Output,
    model: Annotated[
        str | None, typer.Option(help="Default: the network that the plan names.")
    ] = None,
    weights: Weights = None,
    budget: Budget = None,
    steps: Steps = None,
    freeze: Freeze = "none",
    calibration: Calibration = None,
    preprocess: Preprocess = None,
    threads: Annotated[int | None, typer.Option(help="Default: torch's.")] = None,
    db: Db = DEFAULT_DB,
    json: Json = False,
    debug: Debug = False,
) -> None:
    """Train with your own function, the plan applied, and write what it trained."""
    with command(debug):
        from ..workflow.finetune import finetune as run

        document = run(
            plan,
            function,
            output=output,
            model=model,
            weights=weights,
            budget_s=parse_duration(budget, "--budget"),
            steps=steps,
            freeze=freeze,
            calibration=calibration,
            preprocess=preprocess,
            threads=threads,
            db=db,
            reporter=reporter(),
        )
        show(document, json)
