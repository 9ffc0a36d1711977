"""What is there, and how fast it is: devices, layers, profile, table."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from ..workflow.store import DEFAULT_DB
from .errors import command, reporter, show
from .options import (
    Backend,
    Batch,
    Db,
    Debug,
    FinalDenseRatio,
    InputShape,
    Json,
    Mode,
    ModelArgument,
    Ratio,
    Threads,
    Threshold,
    Weakening,
    Weights,
    parse_duration,
    parse_kinds,
    parse_quantum,
    parse_shape,
)


def devices(json: Json = False, debug: Debug = False) -> None:
    """Try every backend with a tiny computation: PASS, or the reason why not."""
    with command(debug):
        from ..workflow.inspect import devices as run

        show(run(), json)


def doctor(
    backend: Annotated[
        str, typer.Option(help="Device family whose A/A test is run.")
    ] = "onnxruntime-cpu",
    threads: Threads = 1,
    pairs: Annotated[int, typer.Option(help="Pairs of the A/A test.")] = 12,
    json: Json = False,
    debug: Debug = False,
) -> None:
    """Is this machine fit to measure? A/A test, timer, load, clock policy, limits; status 3 if
    not, with what to change."""
    with command(debug):
        from ..workflow.doctor import doctor as run

        document = run(backend, threads=threads, pairs=pairs, reporter=reporter())
        show(document, json)
        if not document.fit:
            raise typer.Exit(3)


def layers(
    model: ModelArgument,
    weights: Weights = None,
    input_shape: InputShape = None,
    batch: Batch = None,
    ranks: Annotated[
        str | None, typer.Option(help="Ranks by this rule: vbmf, pr, energy or fixed.")
    ] = None,
    mode: Mode = None,
    kinds: Annotated[
        str | None,
        typer.Option(help="Comma-separated, the first that applies; default: svd,tucker2."),
    ] = None,
    ratio: Ratio = None,
    weakening: Weakening = None,
    threshold: Threshold = None,
    rank: Annotated[int | None, typer.Option(help="fixed: the rank.")] = None,
    rank_quantum: Annotated[int | None, typer.Option(help="Multiple that ranks keep to.")] = None,
    rounding: Annotated[
        str | None, typer.Option(help="To that multiple: nearest, down or up.")
    ] = None,
    final_dense_ratio: FinalDenseRatio = None,
    spectra: Annotated[
        Path | None, typer.Option(help="Write a picture of singular values: .svg or .png.")
    ] = None,
    json: Json = False,
    debug: Debug = False,
) -> None:
    """List a network's layers, and which kinds of decomposition apply to each, or why none."""
    with command(debug):
        from ..workflow.inspect import layers as run

        document = run(
            model,
            weights=weights,
            input_shape=parse_shape(input_shape),
            batch=batch,
            ranks=ranks,
            mode=mode,
            spectra=spectra,
            kinds=parse_kinds(kinds),
            ratio=ratio,
            weakening=weakening,
            threshold=threshold,
            rank=rank,
            rank_quantum=rank_quantum,
            rounding=rounding,
            final_dense_ratio=final_dense_ratio,
        )
        show(document, json)


def profile(
    model: ModelArgument,
    backend: Backend,
    db: Db = DEFAULT_DB,
    weights: Weights = None,
    input_shape: InputShape = None,
    batch: Batch = None,
    threads: Threads = 1,
    kinds: Annotated[
        str | None,
        typer.Option(help="Comma-separated; default: all but branched_tucker and cp."),
    ] = None,
    rank_quantum: Annotated[
        str | None,
        typer.Option(metavar="N|auto", help="Multiple that ranks keep to; auto finds it."),
    ] = None,
    interval: Annotated[
        float | None, typer.Option(help="Half-width of the speedup's interval that is enough.")
    ] = None,
    max_time: Annotated[str | None, typer.Option(metavar="10m", help="Stop after this.")] = None,
    refresh: Annotated[
        bool, typer.Option(help="Measure again what was measured with other software.")
    ] = False,
    retry_failed: Annotated[bool, typer.Option(help="Try failed candidates again.")] = False,
    phase: Annotated[str, typer.Option(help="inference, or training (torch).")] = "inference",
    dtype: Annotated[str, typer.Option(help="float32, float16 or bfloat16.")] = "float32",
    context: Annotated[
        str, typer.Option(help="isolated: each layer alone; marginal: among others.")
    ] = "isolated",
    json: Json = False,
    debug: Debug = False,
) -> None:
    """Measure what is missing: each distinct layer, original against decomposed. Resumable.
    Status 1 if time ran out, 3 if candidates failed."""
    with command(debug):
        from ..workflow.profile import profile as run

        document = run(
            model,
            backend=backend,
            db=db,
            weights=weights,
            input_shape=parse_shape(input_shape),
            batch=batch,
            threads=threads,
            kinds=parse_kinds(kinds),
            rank_quantum=parse_quantum(rank_quantum),
            interval=interval,
            max_time_s=parse_duration(max_time),
            refresh=refresh,
            retry_failed=retry_failed,
            phase=phase,
            dtype=dtype,
            context=context,
            reporter=reporter(),
        )
        show(document, json)
        if not document.complete:
            raise typer.Exit(1)
        if document.failed:
            raise typer.Exit(3)


def table(
    db: Db = DEFAULT_DB,
    model: Annotated[str | None, typer.Option(help="Source or SHA-256 of a network.")] = None,
    device: Annotated[
        list[str] | None, typer.Option(help="Backend or hardware key; repeat to compare.")
    ] = None,
    layer: Annotated[str | None, typer.Option(help="Only this layer.")] = None,
    phase: Annotated[str | None, typer.Option(help="inference or training.")] = None,
    format: Annotated[
        str, typer.Option(help="table, csv, json, parquet, html or markdown.")
    ] = "table",
    output: Annotated[Path | None, typer.Option("-o", "--output", help="Write here.")] = None,
    draw: Annotated[
        bool, typer.Option("--draw", help="Draw latency over rank; SVG with -o FILE.svg.")
    ] = False,
    json: Json = False,
    debug: Debug = False,
) -> None:
    """Show the per-layer speedup table."""
    with command(debug):
        from ..report.formats import draw_table, write_table
        from ..workflow.table import table_document

        document = table_document(
            db=db, model=model, devices=device or [], layer=layer, phase=phase
        )
        if draw:
            draw_table(document, output, sys.stdout)
            return
        write_table(document, "json" if json else format, output, sys.stdout)
