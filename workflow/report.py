"""`rankwise report`: a plan, and what the store knows of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from .. import documents
from ..campaign.rows import document_of
from ..db.measurement_values import MeasurementFilter
from ..db.plans import plan_key
from ..db.store import Store
from ..documents.plan_files import read_plan
from ..errors import StoreError
from ..models.output_files import check_output
from ..options.keywords import takes
from ..options.networks import ReportOptions
from ..options.shared import DEFAULT_DB
from ..report.page import report_page
from ..report.pictures.figure import FORMATS
from ..report.pictures.layer_bars import plan_picture
from .fronts import latest_front


@takes(ReportOptions)
def write_report(options: ReportOptions) -> str:
    """Write a plan as one HTML file with pictures, which opens without a network; as a .png, .svg
    or .pdf only the picture of what each layer takes, before and as planned.

    With the plan come its table, its network's latest front and its verifications, as far as the
    store has them. Returns why the store could not be looked into, if so: the page then shows the
    plan alone.

    >>> rw.write_report(plan, "report.html")
    ''
    >>> rw.write_report("plan.json", "plan.svg")
    ''
    """
    check_output(options.output, options.plan)
    if options.output.suffix.lower() in FORMATS:
        plan = read_plan(options.plan)
        title = f"{plan.model.source} on {plan.device.backend}"
        plan_picture(plan, title).write(options.output)
        return ""
    parts = report_parts(options.plan, options.db)
    page = report_page(parts.plan, parts.table, parts.front, parts.verifications)
    options.output.write_text(page, encoding="utf-8")
    return parts.missing


@dataclass(frozen=True, slots=True)
class ReportParts:
    """`table` and `front` are None where the store has none, or there is no store."""

    plan: documents.Plan
    table: documents.Table | None
    front: documents.Pareto | None
    verifications: list[documents.Verification]
    missing: str = ""
    """Why there was no store to look into."""


def report_parts(plan: documents.Plan | Path | str, db: str = DEFAULT_DB) -> ReportParts:
    """Return what a report shows: the plan alone is enough, the rest comes from the store."""
    document = read_plan(plan)
    try:
        with Store.open(db, create=False, readonly=True) as store:
            return ReportParts(
                document,
                _table(store, document),
                latest_front(store, document.model.sha256),
                _checks(store, document),
            )
    except StoreError as error:
        return ReportParts(document, None, None, [], str(error))


def _table(store: Store, plan: documents.Plan) -> documents.Table:
    """Return the rows of the plan's network on the plan's hardware."""
    wanted = MeasurementFilter(network_sha=plan.model.sha256, hardware_key=plan.device.hardware_key)
    return document_of(store.measurements.find(wanted))


def _checks(store: Store, plan: documents.Plan) -> list[documents.Verification]:
    """Return all verifications of the plan, the newest first."""
    known = documents.Verification.model_fields
    return [
        documents.Verification.model_validate({k: v for k, v in one.items() if k in known})
        for one in reversed(store.plans.verifications(plan_key(plan.model_dump(mode="json"))))
    ]
