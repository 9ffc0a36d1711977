"""The service, and a plan as a page: serve, report."""

from pathlib import Path
from typing import Annotated

import typer

from ..errors import UsageError
from ..options.networks import ReportOptions
from ..options.shared import DEFAULT_DB, Db
from ..options.texts import parse_duration
from .command import Run


def serve(
    host: Annotated[
        str, typer.Option(help="Address to listen on; beyond loopback a token is needed.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="0: any free one.")] = 8765,
    token_file: Annotated[
        Path | None, typer.Option(help="File with the token; or put it into RANKWISE_TOKEN.")
    ] = None,
    max_upload: Annotated[int, typer.Option(min=1, help="Largest upload, in MiB.")] = 512,
    max_disk: Annotated[int, typer.Option(min=1, help="All uploads together, in MiB.")] = 20480,
    max_jobs: Annotated[
        int | None,
        typer.Option(min=1, help="Jobs that may wait or run. Default: 64; with --cluster 10000."),
    ] = None,
    keep_jobs: Annotated[
        int | None,
        typer.Option(
            min=1, help="Ended jobs that are remembered. Default: 1000; with --cluster 100000."
        ),
    ] = None,
    cluster: Annotated[
        str | None,
        typer.Option(metavar="tcp://HOST:PORT|local", help="Let workers of this cluster do jobs."),
    ] = None,
    db: Db = DEFAULT_DB,
) -> None:
    """Serve the HTTP API and the web page of the machine with the device."""
    try:
        from ..service.server import serve as run
    except ModuleNotFoundError as error:
        text = f"the service needs {error.name}: pip install 'rankwise[service]'"
        raise UsageError(text) from None
    from ..jobs.uploads import MIB, UploadLimits
    from ..service.settings import Settings, read_token

    limits = UploadLimits(upload_bytes=max_upload * MIB, library_bytes=max_disk * MIB)
    token = read_token(token_file)
    run(Settings(db, host, port, token, limits, max_jobs, keep_jobs, cluster=cluster))


def worker(
    scheduler: Annotated[str, typer.Argument(metavar="tcp://HOST:PORT", help="Of the cluster.")],
    backend: Annotated[
        list[str] | None,
        typer.Option(help="A device of this machine; repeat for others. Default: all that work."),
    ] = None,
    label: Annotated[
        list[str] | None, typer.Option(help="What jobs may ask for; repeat for others.")
    ] = None,
    host_name: Annotated[
        str | None, typer.Option(help="What this machine is called; no two have one name.")
    ] = None,
    folder: Annotated[
        Path | None, typer.Option(help="Where networks and pictures are kept.")
    ] = None,
    hang_after: Annotated[
        str, typer.Option(metavar="30m", help="A job without progress for so long is ended.")
    ] = "30m",
    db: Db = DEFAULT_DB,
) -> None:
    """Do the jobs of a service on this machine's devices: a Dask worker with its nanny."""
    from ..fleet.worker import WorkerSettings
    from ..fleet.worker import run as work

    after_s = parse_duration(hang_after, "--hang-after")
    settings = WorkerSettings(
        scheduler, db, tuple(backend or ()), tuple(label or ()), host_name, folder, after_s
    )
    work(settings)


def report(run: Run[ReportOptions]) -> None:
    """Write a plan as one HTML file with pictures, which opens without a network."""
    if missing := run():
        typer.echo(f"rankwise: of the plan alone: {missing}", err=True)
    typer.echo(f"wrote {run.options.output}", err=True)
