"""What may be typed after a tuning, with the names that it was given."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .. import documents
from ..options.command_lines import command_line
from ..options.keywords import keywords
from ..options.measuring import TableOptions
from ..options.networks import RecoverOptions, ReportOptions
from ..options.planning import ExplainOptions
from ..options.tuning import TuneOptions

TRAINING_S = 600.0


def next_commands(
    options: TuneOptions, plan: documents.Plan, plan_file: Path | None
) -> list[documents.NextCommand]:
    """The commands with what each is for; none where the network or its plan has no name."""
    if plan_file is None:
        return []
    found = _of_plan(options, plan_file) if plan.decisions else _of_nothing(options)
    return [documents.NextCommand(command=command, purpose=why) for command, why in found]


def _of_plan(options: TuneOptions, plan: Path) -> Iterator[tuple[str, str]]:
    assert options.output is not None
    named = keywords(options) | {"plan": plan}
    page = options.output.with_suffix(".html")
    yield _line("report", ReportOptions, named, output=page), "the plan with pictures, as a page"
    yield _line("explain", ExplainOptions, named), "why each layer is faster, or is not"
    if options.calibration is not None:
        trained = options.output.with_suffix(f".trained{options.output.suffix}")
        given = {"data": options.calibration, "output": trained, "budget_s": TRAINING_S}
        line = _line("recover", RecoverOptions, named, **given)
        yield line, "train the error down, without labels"


def _of_nothing(options: TuneOptions) -> Iterator[tuple[str, str]]:
    named = keywords(options)
    yield _line("table", TableOptions, named), "what was measured of each layer"
    if options.max_error is not None:
        line = _line("tune", TuneOptions, named, max_error=2 * options.max_error)
        yield line, "search with more room for error"


def _line(verb: str, options: type, named: dict[str, Any], **more: Any) -> str:
    """Numbers of threads, seeds and the like are `tune`'s own; names mean the same everywhere."""
    names = ("model", "plan", "weights", "preprocess", "db")
    shared = named if verb == "tune" else {name: named.get(name) for name in names}
    return command_line(verb, options, {**shared, **more})
