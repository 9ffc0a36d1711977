"""PLAN and MODEL where they are left out: the newest plan here, and the network that it names."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from ..errors import PlanError, UsageError
from ..options.option import option_fields

if TYPE_CHECKING:
    from ..documents import Plan

BEGINNING = 4096
"""Bytes of a file that show whether it is a plan."""


def found_arguments(options: type, given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of a verb that takes a plan, complete: what was typed alone and is no
    .json file is the next argument. A plan that was found is said in one line.

    Raises `UsageError` where there is no plan, or there are plans of several networks.
    """
    fields = [field for field in option_fields(options) if field.option.argument]
    if not any(field.name == "plan" for field in fields):
        return {}
    found = {field.name: given[field.name] for field in fields}
    network = given.get("model")
    if _is_no_plan(found["plan"]) and sum(value is not None for value in found.values()) == 1:
        text, found["plan"] = str(found["plan"]), None
        others = [name for name in found if name != "plan"]
        found |= dict.fromkeys(others[:1], text)
        network = network if "function" in found else text
    if found["plan"] is None and given.get("layer") is None:
        found["plan"] = _newest_plan(network)
    if found.get("model", "") is None:
        found["model"] = _named_network(found["plan"])
    for field in fields:
        if found[field.name] is None and field.required:
            raise UsageError(f"{field.name.upper()} is missing: see --help")
    return found


def _is_no_plan(path: Path | None) -> bool:
    return path is not None and path.suffix != ".json" and not _begins_as_plan(path)


def _begins_as_plan(path: Path) -> bool:
    try:
        with path.open("rb") as stream:
            return b'"rankwise.plan"' in stream.read(BEGINNING)
    except OSError:
        return False


def _newest_plan(model: Any) -> Path:
    plans = [(plan, path) for plan, path in _plans_here() if _is_of(plan, model)]
    if not plans:
        of = f" for {model}" if model else ""
        raise PlanError(
            f"there is no plan{of} in this folder: name its file, or make one with `rankwise tune` "
            "or `rankwise plan`"
        )
    networks = sorted({plan.model.source for plan, _ in plans})
    if len(networks) > 1:
        raise PlanError(f"there are plans of {', '.join(networks)} here: say which network's")
    plan, path = max(plans, key=lambda one: (one[0].created_at, one[1].stat().st_mtime))
    among = f", the newest of {len(plans)}" if len(plans) > 1 else ""
    typer.echo(f"the plan is {path} (for {plan.model.source}{among})", err=True)
    return path


def _is_of(plan: Plan, model: Any) -> bool:
    return model is None or Path(plan.model.source).name == Path(str(model)).name


def _plans_here() -> Iterator[tuple[Plan, Path]]:
    from ..documents.plan_files import read_plan

    for path in sorted(Path().glob("*.json")):
        with suppress(PlanError):
            if _begins_as_plan(path):
                yield read_plan(path), path


def _named_network(plan: Path) -> str:
    from ..documents.plan_files import read_plan

    return read_plan(plan).model.source
