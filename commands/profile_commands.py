"""What is there, and how fast it is: devices, doctor, layers, profile, table."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from ..options.measuring import (
    DevicesOptions,
    DoctorOptions,
    LayersOptions,
    ProfileOptions,
    TableOptions,
)
from ..options.option import Option
from .command import Json, Run
from .errors import show


def devices(run: Run[DevicesOptions], json: Json = False) -> None:
    """Try every backend with a tiny computation: PASS, or the reason why not."""
    show(run(), json)


def doctor(run: Run[DoctorOptions], json: Json = False) -> None:
    """Is this machine fit to measure? A/A test, timer, load, clock policy, limits; status 3 if
    not, with what to change."""
    document = run()
    show(document, json)
    if not document.fit:
        raise typer.Exit(3)


def layers(run: Run[LayersOptions], json: Json = False) -> None:
    """List a network's layers, and which kinds of decomposition apply to each, or why none."""
    show(run(), json)


def profile(run: Run[ProfileOptions], json: Json = False) -> None:
    """Measure what is missing: each distinct layer, original against decomposed. Resumable.
    Status 1 if time ran out, 3 if candidates failed."""
    document = run()
    show(document, json)
    if not document.complete:
        raise typer.Exit(1)
    if document.failed:
        raise typer.Exit(3)


def table(
    run: Run[TableOptions],
    format: Annotated[str, Option("table, csv, json, parquet, html or markdown.")] = "table",
    output: Annotated[Path | None, Option("Write here.", flags=("-o", "--output"))] = None,
    draw: Annotated[
        bool, Option("Draw latency over rank; -o FILE.png, .svg or .pdf.", flags=("--draw",))
    ] = False,
    draw_savings: Annotated[
        bool,
        Option("Draw what each layer saves at best; with -o as above.", flags=("--draw-savings",)),
    ] = False,
    json: Json = False,
) -> None:
    """Show the per-layer speedup table."""
    from ..report.drawn_table import draw_table
    from ..report.formats import write_table

    document = run()
    if draw or draw_savings:
        draw_table(document, output, sys.stdout, savings=draw_savings)
    else:
        write_table(document, "json" if json else format, output, sys.stdout)
