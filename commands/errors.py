"""What every command does around its work: errors as sentences, documents, progress."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING

import typer

from ..errors import GoalNotReached, RankwiseError
from ..reporter import Reporter, Silent

if TYPE_CHECKING:
    from ..documents import Document
    from ..report.progress import RichReporter


@contextmanager
def as_sentences(debug: bool) -> Iterator[None]:
    """One sentence and the right status for every error that has a name."""
    try:
        yield
    except RankwiseError as error:
        if debug:
            raise
        typer.echo(f"rankwise: {error}", err=True)
        raise typer.Exit(error.exit_status) from None
    except KeyboardInterrupt as interrupt:
        said = str(interrupt) or "interrupted; what was measured is kept, run again to go on"
        typer.echo(f"rankwise: {said}", err=True)
        raise typer.Exit(1) from None
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise typer.Exit(1) from None
    except (OSError, MemoryError) as error:
        if debug:
            raise
        said = " ".join(str(error).split()) or type(error).__name__
        typer.echo(f"rankwise: {said}", err=True)
        raise typer.Exit(1) from None


def show(document: Document, as_json: bool) -> None:
    """Print a document: for people, or as JSON."""
    if as_json:
        typer.echo(document.model_dump_json(indent=2))
        return
    from ..report.text import show

    show(document)


@contextmanager
def shown_anyway(as_json: bool) -> Iterator[None]:
    """What was made is shown, too, where the goal was not reached."""
    try:
        yield
    except GoalNotReached as error:
        if error.document is not None:
            show(error.document, as_json)
        raise


_LOUDNESS = ContextVar("loudness", default=(False, False))
"""(quiet, verbose) of the command that runs."""


@contextmanager
def loudness(quiet: bool, verbose: bool) -> Iterator[None]:
    """While the command runs, `reporter` says as much as was asked for."""
    token = _LOUDNESS.set((quiet, verbose))
    try:
        yield
    finally:
        _LOUDNESS.reset(token)


def reporter() -> RichReporter | Silent:
    """What shows progress on standard error."""
    quiet, verbose = _LOUDNESS.get()
    if quiet:
        return Silent()
    from ..report.progress import RichReporter

    return RichReporter(verbose=verbose)


@contextmanager
def reporting() -> Iterator[Reporter]:
    """A reporter whose bar is gone at the end, before anything else is written."""
    told = reporter()
    try:
        yield told
    finally:
        if not isinstance(told, Silent):
            told.close()
