"""What each kind of job does: a verb of the workflow on things of the artifacts."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from .. import documents
from ..errors import GoalNotReached, UsageError
from ..reporter import Reporter
from . import requests as asked
from .artifacts import AppliedEntry, ArtifactStore, NetworkEntry
from .queue import calibration_of_plan, network_of_plan
from .requests import Request

Result = Mapping[str, Any]


class Runner:
    """Does one job. The working directory is the artifacts's folder, so that sources in
    documents are names in it and not this machine's paths; `db` must be absolute."""

    def __init__(self, db: str, artifacts: ArtifactStore, reporter: Reporter) -> None:
        self.db, self.artifacts, self.reporter = db, artifacts, reporter
        self._doers: dict[type[Request], Callable[[Any], Result]] = {
            asked.DevicesRequest: self._devices,
            asked.ProfileRequest: self._profile,
            asked.FrontRequest: self._front,
            asked.PlanRequest: self._plan,
            asked.ApplyRequest: self._apply,
            asked.VerifyRequest: self._verify,
        }

    def run(self, request: Request) -> Result:
        """The job's result as JSON. Raises `RankwiseError`."""
        return self._doers[type(request)](request)

    def _devices(self, request: asked.DevicesRequest) -> Result:
        from ..workflow.inspect import devices

        return devices().model_dump(mode="json")

    def _profile(self, request: asked.ProfileRequest) -> Result:
        from ..workflow.profile import profile

        entry = self.artifacts.network(request.network)
        if entry.layers is None:  # so that its table can be looked at while it fills
            entry = _described(entry)
            self.artifacts.put(entry)
        options = request.model_dump(exclude={"network"})
        found = profile(
            entry.model, **self._network(entry), **options, db=self.db, reporter=self.reporter
        )
        return found.model_dump(mode="json")

    def _front(self, request: asked.FrontRequest) -> Result:
        from ..workflow.front import LIMITS, front

        entry = self.artifacts.network(request.network)
        options = request.model_dump(exclude={"network", "calibration", "max_errors"})
        found = front(
            entry.model,
            limits=request.max_errors or LIMITS,
            calibration=self._calibration(request.calibration),
            **self._network(entry),
            **options,
            db=self.db,
            reporter=self.reporter,
        )
        return found.model_dump(mode="json")

    def _plan(self, request: asked.PlanRequest) -> Result:
        from ..db.documents import plan_key
        from ..documents.plan_files import read_plan
        from ..workflow.plan import plan

        entry = self.artifacts.network(request.network)
        output = self.artifacts.folder / "incoming" / f"plan-{entry.id[:32]}.json"
        output.unlink(missing_ok=True)
        options = request.model_dump(exclude={"network", "calibration"})
        shortfall = ""
        try:
            plan(
                entry.model,
                output=output,
                calibration=self._calibration(request.calibration),
                **self._network(entry),
                **options,
                db=self.db,
                reporter=self.reporter,
            )
        except GoalNotReached as error:
            if not output.exists():
                raise
            shortfall = str(error)
        document = read_plan(output)
        output.unlink()
        return {"plan": plan_key(document.model_dump(mode="json")), "shortfall": shortfall}

    def _apply(self, request: asked.ApplyRequest) -> Result:
        from dataclasses import asdict

        from ..workflow.apply import apply

        document, entry = self._planned(request.plan, request.network)
        name = f"{request.plan}_{entry.id[:24]}_{request.format}"
        file = f"applied/{name}.{request.format}"
        path = self.artifacts.folder / file
        apply(
            document,
            entry.model,
            output=path,
            db=self.db,
            weights=entry.weights,
            calibration=self._calibration(request.calibration),
        )
        with path.open("rb") as stream:
            sha256 = hashlib.file_digest(stream, "sha256").hexdigest()
        size = path.stat().st_size
        made = AppliedEntry(name, request.plan, request.format, file, sha256, size, _now())
        self.artifacts.put(made)
        return asdict(made)

    def _verify(self, request: asked.VerifyRequest) -> Result:
        from ..workflow.verify import verify

        document, entry = self._planned(request.plan, request.network)
        calibration = request.calibration
        if calibration is None and document.calibration is not None:
            calibration = self._calibration_used(request.plan)
        note = ""
        try:
            verify(
                document,
                entry.model,
                backend=request.backend,
                threads=request.threads,
                data=self._calibration(calibration),
                db=self.db,
                weights=entry.weights,
                reporter=self.reporter,
            )
        except GoalNotReached as error:  # raised after the result was kept
            note = str(error)
        assert document.verified is not None
        return {**document.verified.model_dump(mode="json"), "plan": request.plan, "note": note}

    def _planned(self, key: str, network: str | None) -> tuple[documents.Plan, NetworkEntry]:
        from ..db.store import Store

        with Store.open(self.db, create=False) as store:
            stored = store.plan(key)
        if stored is None:
            raise UsageError(f"there is no plan {key!r} here")
        found = network_of_plan(self.artifacts, stored) if network is None else None
        entry = found or self.artifacts.network(network or "")
        return documents.Plan.model_validate({**stored, "verified": None}), entry

    def _calibration_used(self, key: str) -> str | None:
        from ..db.store import Store

        with Store.open(self.db, create=False) as store:
            used = calibration_of_plan(store, key)
        known = {entry.id for entry in self.artifacts.calibrations()}
        return used if used in known else None

    def _network(self, entry: NetworkEntry) -> dict[str, Any]:
        return {"weights": entry.weights, "input_shape": entry.input_shape}

    def _calibration(self, calibration: str | None) -> Path | None:
        if calibration is None:
            return None
        return self.artifacts.folder / self.artifacts.calibration(calibration).file


def _described(entry: NetworkEntry) -> NetworkEntry:
    from .describe_network import described

    return described(entry)


def _now() -> str:
    from ..db.workloads import now

    return now()
