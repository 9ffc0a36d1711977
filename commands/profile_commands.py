"""What is there, and how fast it is: devices, doctor, layers, profile, table."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from ..collector import resting
from ..options.measuring import (
    RELEASE,
    DevicesOptions,
    DoctorOptions,
    LayersOptions,
    ProfileOptions,
    TableOptions,
)
from ..options.option import Option
from ..options.shared import DEFAULT_DB, Db
from .command import Json, Run
from .errors import show
from .remote import fleet_devices

FLEET = Option("The devices of the fleet of --server, or of the store.")


def devices(
    run: Run[DevicesOptions],
    fleet: Annotated[bool, FLEET] = False,
    release: Annotated[str | None, RELEASE] = None,
    db: Db = DEFAULT_DB,
    json: Json = False,
) -> None:
    """Try every backend with a tiny computation: PASS, or the reason why not."""
    if fleet or release is not None:
        show(fleet_devices(run.server, db, release, run.typed), json)
    else:
        show(run(), json)


def doctor(run: Run[DoctorOptions], json: Json = False) -> None:
    """Is this machine fit to measure? A/A test, timer, load, clock policy, limits.
    Status 3 if not, with what to change."""
    document = run()
    show(document, json)
    if not document.fit:
        raise typer.Exit(3)


def layers(run: Run[LayersOptions], json: Json = False) -> None:
    """List a network's layers, and which kinds of decomposition apply to each."""
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


BEST = Option("A row a layer: the fastest candidate at each rank budget.", flags=("--best",))
BY_DTYPE = Option(
    "Speedups of a candidate's dtypes side by side; with --verdict those that differ in it.",
    flags=("--by-dtype",),
)
SORT = Option("By this column, the largest first; layers keep the network's order else.")
VERDICT = Option(
    "Only rows with this verdict; repeat for others.", flags=("--verdict",), metavar="NAME"
)
TOP = Option("Only so many rows.", metavar="N")
SHOWN = Option("Only these columns, separated by commas.", metavar="NAME,...")
DRAW = Option("Draw latency over rank; -o FILE.png, .svg or .pdf.", flags=("--draw",))
DRAW_SAVINGS = Option(
    "Draw what each layer saves at best; with -o as above.", flags=("--draw-savings",)
)


def table(
    run: Run[TableOptions],
    best: Annotated[bool, BEST] = False,
    by_dtype: Annotated[bool, BY_DTYPE] = False,
    sort: Annotated[str | None, SORT] = None,
    verdict: Annotated[Sequence[str], VERDICT] = (),
    top: Annotated[int | None, TOP] = None,
    columns: Annotated[str | None, SHOWN] = None,
    format: Annotated[str, Option("table, csv, json, parquet, html or markdown.")] = "table",
    output: Annotated[Path | None, Option("Write here.", flags=("-o", "--output"))] = None,
    draw: Annotated[bool, DRAW] = False,
    draw_savings: Annotated[bool, DRAW_SAVINGS] = False,
    json: Json = False,
) -> None:
    """Show the per-layer speedup table, and what it amounts to."""
    from ..report.formats import write_table
    from ..report.table_view import TableView

    view = TableView.of(best, sort, verdict or (), top, columns, by_dtype)
    document = run()
    if draw or draw_savings:
        from ..report.drawn_table import draw_table

        draw_table(document, output, sys.stdout, savings=draw_savings)
        return
    with resting():
        write_table(document, "json" if json else format, output, sys.stdout, view)
