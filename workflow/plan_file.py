"""Plans as files: read with one clear sentence about what is wrong, written atomically."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import ValidationError

from .. import documents
from ..errors import PlanError
from ..records import Decomposition

if TYPE_CHECKING:
    from ..models.network import Network


def read_plan(plan: documents.Plan | Path | str) -> documents.Plan:
    """A plan from its file; a plan that is one already is returned as it is.

    Plans of older schemas are brought up to date. Raises `PlanError` for a missing file, for
    JSON that is no plan, and for newer schemas.
    """
    if isinstance(plan, documents.Plan):
        return plan
    path = Path(plan)
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not text"
        raise PlanError(f"plan {path} cannot be read: {reason}") from None
    try:
        return documents.Plan.model_validate_json(text)
    except PlanError as error:
        raise PlanError(f"{path}: {error}") from None
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "the document"
        raise PlanError(f"{path} is not a plan: {place}: {first['msg']}") from None


def write_plan(document: documents.Plan, path: Path) -> None:
    """Atomically: a reader sees the old plan or the new one."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    temporary.write_text(document.model_dump_json(indent=2) + "\n", encoding="utf-8")
    temporary.replace(path)


def decisions_of(document: documents.Plan) -> dict[str, Decomposition]:
    """What becomes of each replaced layer, by name."""
    return {
        layer.name: layer.decomposition.record()
        for layer in document.layers
        if layer.decomposition.kind != "original"
    }


def check_network(document: documents.Plan, network: Network) -> None:
    """Raises `PlanError` unless the plan was made for exactly this network, and decides on each
    of its layers."""
    if document.model.sha256 != network.sha256:
        raise PlanError(
            f"the plan was made for another network: {document.model.source} "
            f"({document.model.sha256[:12]}), not {network.source} ({network.sha256[:12]})"
        )
    decided = [layer.name for layer in document.layers]
    names = [layer.name for layer in network.layers]
    if unknown := [name for name in decided if name not in names]:
        raise PlanError(f"the network has no layer {unknown[0]!r}")
    if missing := [name for name in names if name not in decided]:
        raise PlanError(f"the plan does not say what becomes of layer {missing[0]!r}")
