"""Plans as files: read with one clear sentence about what is wrong, written whole."""

from __future__ import annotations

from pathlib import Path

from pydantic import ValidationError

from ..errors import PlanError
from ..files import write_text
from .base import Fingerprint
from .plan import Plan


def read_plan(plan: Plan | Path | str) -> Plan:
    """A plan from its file; a plan that is one already is returned as it is.

    Plans of older schemas are brought up to date. Raises `PlanError` for a missing file, for
    JSON that is no plan, and for newer schemas.
    """
    if isinstance(plan, Plan):
        return plan
    path = Path(plan)
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not text"
        raise PlanError(f"plan {path} cannot be read: {reason}") from None
    try:
        return Plan.model_validate_json(text)
    except PlanError as error:
        raise PlanError(f"{path}: {error}") from None
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "the document"
        raise PlanError(f"{path} is not a plan: {place}: {first['msg']}") from None


def write_plan(document: Plan, path: Path) -> None:
    """Write a plan; a reader sees the old one or the new one."""
    write_text(path, document.model_dump_json(indent=2) + "\n")


def beside(output: Path, device: Fingerprint) -> Path:
    """The file of one device's own plan, where `output` is for several:
    `plan.torch-cpu-1a2b3c.json` beside `plan.json`."""
    name = f"{device.backend}-{device.hardware_key[:6]}"
    return output.with_name(f"{output.stem}.{name}{output.suffix}")
