"""What each kind of job does: a verb of the workflow on what the artifact store holds."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from .. import documents
from ..clock import now
from ..db.plans import plan_key
from ..db.store import Store
from ..errors import GoalNotReached, UsageError
from ..options.option import Crossing, option_fields
from ..reporter import Reporter
from ..workflow import verb
from .artifacts import AppliedEntry, ArtifactStore, NetworkEntry
from .describe_network import described
from .queue import calibration_of_plan, network_of_plan
from .requests import JOB_TYPES, REQUESTS, JobKind, Request

Result = Mapping[str, Any]
Given = dict[str, Any]
"""A verb's keywords."""

FRONT_LIMITS = (0.02, 0.05, 0.1, 0.2, 0.4)
"""Network errors that a front is made for unless told otherwise."""


def _document(verb_name: str, given: Given) -> Result:
    document: Result = verb(verb_name)(**given).model_dump(mode="json")
    return document


class JobRunner:
    """Does one job. The working directory is the artifacts's folder, so that sources in
    documents are names in it and not this machine's paths; `db` must be absolute."""

    def __init__(
        self, db: str, artifacts: ArtifactStore, reporter: Reporter, backend: str = ""
    ) -> None:
        self.db, self.artifacts, self.reporter = db, artifacts, reporter
        self.backend = backend
        """Opens the device that the job was given; empty where the request names it."""

    def run(self, request: Request) -> Result:
        """The job's result as JSON. Raises `RankwiseError`."""
        kind = next(kind for kind, model in REQUESTS.items() if isinstance(request, model))
        given = self.given(kind, request)
        own: dict[JobKind, Callable[[Any, Given], Result]] = {
            "profile": self._profile,
            "shared_profile": self._profile,  # on the only device that there is
            "front": self._front,
            "plan": self._plan,
            "apply": self._apply,
            "verify": self._verify,
        }
        return own[kind](request, given) if kind in own else _document(kind, given)

    def given(self, kind: JobKind, request: Request) -> Given:
        """The verb's keywords: values as they are, what lies in the artifact store for its id."""
        options = JOB_TYPES[kind].options
        asked, given = request.model_dump(), self._common(options)
        planned = self._planned(asked["plan"]) if "plan" in asked else None
        entry = self._entry(asked.get("network"), planned)
        for field in option_fields(options):
            match field.option.crossing:
                case Crossing.VALUE:
                    given[field.name] = asked[field.name]
                case Crossing.NETWORK if entry is not None:
                    given[field.name] = entry.model
                case Crossing.WITH_NETWORK:
                    given[field.name] = getattr(entry, field.name)
                case Crossing.PLAN:
                    given[field.name] = planned
                case Crossing.CALIBRATION:
                    given[field.name] = self._calibration(asked["calibration"])
        if self.backend and "backend" in given:
            given["backend"] = self.backend
        return given

    def _common(self, options: type) -> Given:
        common = {"db": self.db, "reporter": self.reporter}
        return {f.name: common[f.name] for f in fields(options) if f.name in common}

    def _profile(self, request: Any, given: Given) -> Result:
        entry = self.artifacts.network(request.network)
        if entry.layers is None:  # so that its table can be looked at while it fills
            self.artifacts.put(described(entry))
        return _document("profile", given)

    def _front(self, _request: Any, given: Given) -> Result:
        limits = given.pop("max_errors") or FRONT_LIMITS
        return _document("pareto", {**given, "limits": limits})

    def _plan(self, _request: Any, given: Given) -> Result:
        try:
            document, shortfall = verb("plan")(**given), ""
        except GoalNotReached as error:
            if error.document is None:
                raise
            document, shortfall = error.document, str(error)
        return {"plan": plan_key(document.model_dump(mode="json")), "shortfall": shortfall}

    def _apply(self, request: Any, given: Given) -> Result:
        entry = self._entry(request.network, given["plan"])
        assert entry is not None
        fitted = [name for name in ("reestimate_bn", "match_channels") if given[name]]
        pictures = [(request.calibration or "")[:12]] if fitted else []
        batch = [] if given["dynamic_batch"] else ["fixed"]
        name = "_".join([request.plan, entry.id[:24], *fitted, *pictures, *batch, request.format])
        file = f"applied/{name}.{request.format}"
        path = self.artifacts.folder / file
        verb("apply")(output=path, **given)
        with path.open("rb") as stream:
            sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
        size = path.stat().st_size
        made = AppliedEntry(name, request.plan, request.format, file, sha256, size, now())
        self.artifacts.put(made)
        return asdict(made)

    def _verify(self, request: Any, given: Given) -> Result:
        document, note = given["plan"], ""
        if given["data"] is None and document.calibration is not None:
            given["data"] = self._calibration(self._calibration_used(request.plan))
        try:
            verb("verify")(**given)
        except GoalNotReached as error:  # raised after the result was kept
            note = str(error)
        return {**document.verified.model_dump(mode="json"), "plan": request.plan, "note": note}

    def _entry(self, network: str | None, plan: documents.Plan | None) -> NetworkEntry | None:
        """The network that is named, or else the plan's."""
        if network is not None:
            return self.artifacts.network(network)
        if plan is None:
            return None
        return network_of_plan(self.artifacts, plan.model_dump(include={"model"}))

    def _planned(self, key: str) -> documents.Plan:
        with Store.open(self.db, create=False) as store:
            stored = store.plans.get(key)
        if stored is None:
            raise UsageError(f"there is no plan {key!r} here")
        return documents.Plan.model_validate({**stored, "verified": None})

    def _calibration_used(self, key: str) -> str | None:
        with Store.open(self.db, create=False) as store:
            used = calibration_of_plan(store, key)
        known = {entry.id for entry in self.artifacts.calibrations()}
        return used if used in known else None

    def _calibration(self, calibration: str | None) -> Path | None:
        if calibration is None:
            return None
        return self.artifacts.folder / self.artifacts.calibration(calibration).file
