"""The service, and a plan as a page: serve, report."""

from pathlib import Path
from typing import Annotated

import typer

from ..errors import UsageError
from ..options.networks import ReportOptions
from ..options.shared import DEFAULT_DB, Db
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
    max_jobs: Annotated[int, typer.Option(min=1, help="Jobs that may wait or run.")] = 64,
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
    run(Settings(db, host, port, read_token(token_file), limits, max_jobs))


def report(run: Run[ReportOptions]) -> None:
    """Write a plan as one HTML file with pictures, which opens without a network."""
    if missing := run():
        typer.echo(f"rankwise: of the plan alone: {missing}", err=True)
    typer.echo(f"wrote {run.options.output}", err=True)
