"""`rankwise report`: a plan, and what the store knows of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from .. import documents
from ..campaign.rows import document_of
from ..documents.plan_files import read_plan
from ..errors import StoreError
from ..models.output_files import check_output
from .store import DEFAULT_DB

if TYPE_CHECKING:
    from ..db.store import Store


def report(plan: Path, output: Path, db: str = DEFAULT_DB) -> str:
    """Write a plan as one HTML file with pictures, which opens without a network.

    Returns why the store could not be looked into, if so: the page then shows the plan alone.
    """
    from ..report.page import report_page

    check_output(output, plan)
    parts = report_parts(plan, db)
    page = report_page(parts.plan, parts.table, parts.front, parts.verifications)
    output.write_text(page, encoding="utf-8")
    return parts.missing


@dataclass(frozen=True, slots=True)
class ReportParts:
    """`table` and `front` are None where the store has none, or there is no store."""

    plan: documents.Plan
    table: documents.Table | None
    front: documents.Front | None
    verifications: list[documents.Verification]
    missing: str = ""
    """Why there was no store to look into."""


def report_parts(plan: documents.Plan | Path | str, db: str = DEFAULT_DB) -> ReportParts:
    """What a report shows. The plan alone is enough; the rest comes from the store."""
    from ..db.store import Store

    document = read_plan(plan)
    try:
        with Store.open(db, create=False, readonly=True) as store:
            return ReportParts(
                document, _table(store, document), _front(store, document), _checks(store, document)
            )
    except StoreError as error:
        return ReportParts(document, None, None, [], str(error))


def _table(store: Store, plan: documents.Plan) -> documents.Table:
    """Of the plan's network on the plan's hardware."""
    found = store.measurements(network_sha=plan.model.sha256, hardware_key=plan.device.hardware_key)
    return document_of(found)


def _front(store: Store, plan: documents.Plan) -> documents.Front | None:
    """The one that a service has worked out last for this network."""
    done, _ = store.jobs(kinds=("front",), states=("done",), limit=100)
    for record in done:
        if record.result and record.result["model"]["sha256"] == plan.model.sha256:
            return documents.Front.model_validate(dict(record.result))
    return None


def _checks(store: Store, plan: documents.Plan) -> list[documents.Verification]:
    """All verifications of the plan, the newest first."""
    from ..db.documents import plan_key

    known = documents.Verification.model_fields
    return [
        documents.Verification.model_validate({k: v for k, v in one.items() if k in known})
        for one in reversed(store.verifications(plan_key(plan.model_dump(mode="json"))))
    ]
