"""The command line: a thin skin over `workflow`. Nothing heavy is imported before it is needed."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from .errors import RankwiseError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .documents import Document
    from .workflow.reporter import Reporter

app = typer.Typer(
    help="Which layers does low-rank decomposition really make faster on this device, and at "
    "which ranks? Measure, keep, search, plan, apply, measure again.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

_T = TypeVar("_T")

ModelArgument = Annotated[
    str,
    typer.Argument(
        metavar="MODEL",
        help="Zoo name, .onnx file, or package.module:callable.",
        show_default=False,
    ),
]
PlanArgument = Annotated[Path, typer.Argument(metavar="PLAN", help="A plan's JSON file.")]
Backend = Annotated[str, typer.Option(help="Device family; `rankwise devices` lists them.")]
Db = Annotated[
    str, typer.Option(envvar="RANKWISE_DB", metavar="URL", help="Where measurements are kept.")
]
Json = Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]
Weights = Annotated[Path | None, typer.Option(help=".safetensors, or .pth with plain tensors.")]
InputShape = Annotated[str | None, typer.Option(metavar="N,C,H,W", help="N is the batch.")]
Batch = Annotated[int | None, typer.Option(help="Overrides the batch of --input-shape.")]
Threads = Annotated[int, typer.Option(help="Threads that compute one layer.")]
Calibration = Annotated[
    Path | None, typer.Option(help="Folder of images, or an .npz of ready tensors.")
]
Preprocess = Annotated[
    str | None, typer.Option(help="Name, .toml file, or package.module:callable.")
]
DEFAULT_DB = "sqlite:///rankwise.db"


@app.command()
def devices(json: Json = False, debug: Debug = False) -> None:
    """Try every backend with a tiny computation: PASS, or the reason why not."""
    with _command(debug):
        from .workflow.listing import devices as run

        _show(run(), json)


@app.command()
def layers(
    model: ModelArgument,
    weights: Weights = None,
    input_shape: InputShape = None,
    batch: Batch = None,
    json: Json = False,
    debug: Debug = False,
) -> None:
    """List a network's layers, and which kinds of decomposition apply to each, or why none."""
    with _command(debug):
        from .workflow.listing import layers as run

        _show(run(model, weights=weights, input_shape=_shape(input_shape), batch=batch), json)


@app.command()
def profile(
    model: ModelArgument,
    backend: Backend,
    db: Db = DEFAULT_DB,
    weights: Weights = None,
    input_shape: InputShape = None,
    batch: Batch = None,
    threads: Threads = 1,
    kinds: Annotated[str | None, typer.Option(help="Comma-separated; default: all.")] = None,
    rank_quantum: Annotated[int | None, typer.Option(help="Multiple that ranks keep to.")] = None,
    interval: Annotated[
        float | None, typer.Option(help="Half-width of the speedup's interval that is enough.")
    ] = None,
    max_time: Annotated[str | None, typer.Option(metavar="10m", help="Stop after this.")] = None,
    refresh: Annotated[bool, typer.Option(help="Measure again what is there.")] = False,
    retry_failed: Annotated[bool, typer.Option(help="Try failed candidates again.")] = False,
    phase: Annotated[str, typer.Option(help="inference; training is to come.")] = "inference",
    dtype: Annotated[str, typer.Option(help="float32.")] = "float32",
    json: Json = False,
    debug: Debug = False,
) -> None:
    """Measure what is missing: each distinct layer, original against decomposed. Resumable."""
    with _command(debug):
        from .workflow.profiling import profile as run

        document = run(
            model,
            backend=backend,
            db=db,
            weights=weights,
            input_shape=_shape(input_shape),
            batch=batch,
            threads=threads,
            kinds=kinds.split(",") if kinds else None,
            rank_quantum=rank_quantum,
            interval=interval,
            max_time_s=_duration(max_time),
            refresh=refresh,
            retry_failed=retry_failed,
            phase=phase,
            dtype=dtype,
            reporter=_reporter(),
        )
        _show(document, json)
        if not document.complete:
            raise typer.Exit(1)


@app.command()
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
    json: Json = False,
    debug: Debug = False,
) -> None:
    """Show the per-layer speedup table."""
    with _command(debug):
        from .report.formats import write_table
        from .workflow.tables import table_document

        document = table_document(
            db=db, model=model, devices=device or [], layer=layer, phase=phase
        )
        write_table(document, "json" if json else format, output, sys.stdout)


@app.command()
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
    db: Db = DEFAULT_DB,
    weights: Weights = None,
    input_shape: InputShape = None,
    batch: Batch = None,
    threads: Threads = 1,
    calibration: Calibration = None,
    preprocess: Preprocess = None,
    trials: Annotated[int, typer.Option(help="Optuna trials.")] = 200,
    sampler: Annotated[str, typer.Option(help="Optuna sampler by name.")] = "tpe",
    refine: Annotated[
        bool, typer.Option("--refine/--no-refine", help="Time the whole network, too.")
    ] = True,
    seed: Annotated[int, typer.Option(help="Seed of search and split.")] = 0,
    json: Json = False,
    debug: Debug = False,
) -> None:
    """Choose kind and rank for each layer from what was measured, and write the plan."""
    with _command(debug):
        from .workflow.planning import plan as run

        document = run(
            model,
            backend=backend,
            output=output,
            max_error=max_error,
            target_speedup=target_speedup,
            max_params=max_params,
            db=db,
            weights=weights,
            input_shape=_shape(input_shape),
            batch=batch,
            threads=threads,
            calibration=calibration,
            preprocess=preprocess,
            trials=trials,
            sampler=sampler,
            refine=refine,
            seed=seed,
            reporter=_reporter(),
        )
        _show(document, json)


@app.command()
def apply(
    plan: PlanArgument,
    model: ModelArgument,
    output: Annotated[Path, typer.Option("-o", "--output", help=".onnx, .pt2 or .safetensors.")],
    db: Db = DEFAULT_DB,
    weights: Weights = None,
    calibration: Calibration = None,
    preprocess: Preprocess = None,
    debug: Debug = False,
) -> None:
    """Write the compressed network."""
    with _command(debug):
        from .workflow.application import apply as run

        run(
            plan,
            model,
            output=output,
            db=db,
            weights=weights,
            calibration=calibration,
            preprocess=preprocess,
        )
        typer.echo(f"wrote {output}", err=True)


@app.command()
def verify(
    plan: PlanArgument,
    model: ModelArgument,
    backend: Annotated[str | None, typer.Option(help="Default: the plan's.")] = None,
    threads: Annotated[int | None, typer.Option(help="Default: the plan's.")] = None,
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
    with _command(debug):
        from .workflow.verification import verify as run

        document = run(
            plan,
            model,
            backend=backend,
            threads=threads,
            data=data,
            preprocess=preprocess,
            db=db,
            weights=weights,
            reporter=_reporter(),
        )
        _show(document, json)


db_app = typer.Typer(help="Look after the store of measurements.", no_args_is_help=True)
app.add_typer(db_app, name="db")


@db_app.command("check")
def db_check(db: Db = DEFAULT_DB, debug: Debug = False) -> None:
    """Look for damage and loose ends; status 1 if there are any."""
    with _command(debug):
        from .workflow.storage import check

        problems = check(db)
        for problem in problems:
            typer.echo(problem)
        typer.echo("nothing wrong" if not problems else f"{len(problems)} problems", err=True)
        raise typer.Exit(1 if problems else 0)


@db_app.command("upgrade")
def db_upgrade(db: Db = DEFAULT_DB, debug: Debug = False) -> None:
    """Bring an older database to this version's schema; a backup is made first."""
    with _command(debug):
        from .workflow.storage import upgrade

        typer.echo(upgrade(db))


@contextmanager
def _command(debug: bool) -> Iterator[None]:
    """One sentence and the right status for every error that has a name."""
    try:
        yield
    except RankwiseError as error:
        if debug:
            raise
        typer.echo(f"rankwise: {error}", err=True)
        raise typer.Exit(error.exit_status) from None
    except KeyboardInterrupt:
        typer.echo("rankwise: interrupted; what was measured is kept, run again to go on", err=True)
        raise typer.Exit(1) from None
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(1) from None
    except (OSError, MemoryError) as error:
        if debug:
            raise
        typer.echo(f"rankwise: {_sentence(error)}", err=True)
        raise typer.Exit(1) from None


def _sentence(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def _show(document: Document, as_json: bool) -> None:
    if as_json:
        typer.echo(document.model_dump_json(indent=2))
        return
    from .report.text import show

    show(document)


def _reporter() -> Reporter:
    from .report.progress import RichReporter

    return RichReporter()


def _shape(text: str | None) -> tuple[int, ...] | None:
    if text is None:
        return None
    return _parsed(text, "--input-shape", "1,3,224,224", lambda t: tuple(map(int, t.split(","))))


def _duration(text: str | None) -> float | None:
    if text is None:
        return None
    units = {"s": 1.0, "m": 60.0, "h": 3600.0}
    return _parsed(text, "--max-time", "90s, 10m or 1h", lambda t: float(t[:-1]) * units[t[-1]])


def _parsed(text: str, option: str, example: str, parse: Callable[[str], _T]) -> _T:
    try:
        return parse(text)
    except (ValueError, KeyError, IndexError):
        raise UsageError(f"{option} {text!r} cannot be read; write it like {example}") from None


def main() -> Any:
    """Entry point of the `rankwise` command."""
    return app()
