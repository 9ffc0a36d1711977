"""From measurements to a smaller network, and looking around on the way: pareto to finetune."""

from pathlib import Path
from typing import Annotated

import typer

from ..options.networks import ApplyOptions, FinetuneOptions, RecoverOptions, VerifyOptions
from ..options.option import Option
from ..options.planning import ExplainOptions, ParetoOptions, PlanOptions, WhatIfOptions
from .command import Json, Run
from .errors import show, shown_anyway


def pareto(
    run: Run[ParetoOptions],
    output: Annotated[
        Path | None, Option("Draw the front: .png, .svg or .pdf.", flags=("-o", "--output"))
    ] = None,
    json: Json = False,
) -> None:
    """The front of speedup against fidelity, as table, picture or JSON."""
    if output is not None:
        from ..report.pictures.figure import check_picture
        from ..report.pictures.speedups import front_picture

        check_picture(output)
    document = run()
    if output is not None:
        title = f"{document.model.source} on {document.device.backend}"
        front_picture(document, title).write(output)
    show(document, json)


def plan(run: Run[PlanOptions], json: Json = False) -> None:
    """Choose kind and rank for each layer from what was measured, and write the plan."""
    with shown_anyway(json):
        show(run(), json)


def explain(run: Run[ExplainOptions], json: Json = False) -> None:
    """Why a layer is or is not faster: costs, traffic, launches, alignment."""
    show(run(), json)


def what_if(run: Run[WhatIfOptions], json: Json = False) -> None:
    """Time, MACs, parameters and error of a hand-edited plan, without timing the network."""
    show(run(), json)


def apply(run: Run[ApplyOptions]) -> None:
    """Write the compressed network."""
    run()
    typer.echo(f"wrote {run.options.output}", err=True)


def verify(run: Run[VerifyOptions], json: Json = False) -> None:
    """Time the whole network against the original, and compare their outputs."""
    with shown_anyway(json):
        show(run(), json)


def recover(run: Run[RecoverOptions], json: Json = False) -> None:
    """Train the plan's network, without labels, to answer as the original does."""
    show(run(), json)


def finetune(run: Run[FinetuneOptions], json: Json = False) -> None:
    """Train with your own function, the plan applied, and write what it trained."""
    show(run(), json)
