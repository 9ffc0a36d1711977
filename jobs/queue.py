"""Jobs: long work that is asked for now and done when the device is free.

A job is a row in the store: a kind, a request (see `requests`), a state. While one with the
same request waits or runs, asking again gives that one. Whoever runs jobs (`job_worker`) holds
one lock for as long as a job lasts, whatever its kind: a search on the other cores disturbs
timings as much as a second measurement does.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, cast
from uuid import uuid4

from pydantic import ValidationError

from ..clock import now
from ..db.jobs import JobRecord, Jobs
from ..db.plans import Plans
from ..documents import Plan
from ..errors import UsageError, did_you_mean
from ..options.device_query import DeviceQuery
from ..records import content_key
from .artifacts import ArtifactStore, NetworkEntry
from .requests import REQUESTS, JobKind, Request


@dataclass(frozen=True, slots=True)
class QueueLimits:
    """Jobs that may wait or run at once, and ended jobs that are remembered."""

    waiting: int = 64
    kept: int = 1000


ONE_MACHINE = QueueLimits()
FLEET = QueueLimits(waiting=10_000, kept=100_000)
"""A night's work for a thousand devices, and what each of them did in the last hundred jobs."""


class JobStore(Protocol):
    """What jobs need of a store."""

    @property
    def jobs(self) -> Jobs: ...

    @property
    def plans(self) -> Plans: ...


class TooManyJobs(UsageError):
    """The queue is full."""


def submit(
    store: JobStore,
    artifacts: ArtifactStore,
    kind: str,
    request: Request,
    max_waiting: int = ONE_MACHINE.waiting,
) -> tuple[JobRecord, bool]:
    """Queue a job, or find the live one with the same request; whether it is new.

    What can be seen to be wrong is refused now (`UsageError`), not when the job's turn comes.
    """
    check(store, artifacts, request)
    record = new_job(kind, request)
    kept = store.jobs.put(record)
    if kept.uuid != record.uuid:
        return kept, False
    _, waiting = store.jobs.page(states=("queued", "running"), limit=1)
    if waiting > max_waiting:
        store.jobs.update(record.uuid, state="cancelled", error="too many jobs were waiting")
        raise TooManyJobs(f"{max_waiting} jobs are waiting already: try again later")
    return kept, True


def new_job(kind: str, request: Request) -> JobRecord:
    """A job that nobody has queued yet."""
    asked = request.model_dump(mode="json")
    return JobRecord(
        uuid=uuid4().hex,
        kind=kind,
        request=asked,
        request_key=content_key([kind, asked]),
        state="queued",
        progress={},
        result=None,
        error="",
        created_at=now(),
        started_at=None,
        ended_at=None,
        owner=None,
    )


def check(store: JobStore, artifacts: ArtifactStore, request: Request) -> None:
    """Everything that a request names must be there."""
    asked = request.model_dump()
    if backend := asked.get("backend"):
        _check_backend(backend)
    if asked.get("device"):
        DeviceQuery.parse(asked["device"], "device")
    if network := asked.get("network"):
        artifacts.network(network)
    if calibration := asked.get("calibration"):
        _check_preprocess(artifacts.calibration(calibration).kind, asked)
    if plan := asked.get("plan"):
        document = store.plans.get(plan)
        if document is None:
            raise UsageError(f"there is no plan {plan[:64]!r} here")
        if network is None:
            network_of_plan(artifacts, document)
    if "max_error" in asked and asked["max_error"] is None and asked["target_speedup"] is None:
        raise UsageError("say what the plan must keep: max_error, or target_speedup")


def _check_backend(text: str) -> None:
    from ..backends.registry import FAMILIES, backend_names, family_of

    name, known = text.partition(":")[0], backend_names()
    if name not in known and family_of(name) not in FAMILIES:
        hint = did_you_mean(name, known)
        raise UsageError(f"unknown backend {name!r}{hint}; known are {', '.join(known)}")


def _check_preprocess(kind: str, asked: Mapping[str, Any]) -> None:
    """A plan says how its own pictures become inputs."""
    if kind == "pictures" and asked["preprocess"] is None and "plan" not in asked:
        raise UsageError("say how pictures become inputs: preprocess imagenet, caffe-bgr or unit")
    if kind == "tensors" and asked["preprocess"] is not None:
        raise UsageError("this calibration holds ready tensors: leave preprocess out")


def network_of_plan(artifacts: ArtifactStore, plan: Mapping[str, Any]) -> NetworkEntry:
    """The network that a plan was made for; `UsageError` if it is not in the artifacts."""
    sha256 = plan["model"]["sha256"]
    for entry in artifacts.networks():
        if entry.sha256 == sha256:
            return entry
    raise UsageError(f"the plan's network ({sha256[:12]}) is not here any more: upload it again")


def check_plan(artifacts: ArtifactStore, plan: Plan) -> None:
    """A plan from outside must be for a network that is here, layer by layer. Raises
    `UsageError`."""
    entry = network_of_plan(artifacts, plan.model_dump(include={"model"}))
    specs = {layer["name"]: layer["spec"] for layer in (entry.layers or {}).get("layers", ())}
    for layer in plan.layers:
        if layer.name not in specs:
            raise UsageError(f"the plan names a layer {layer.name!r} that its network has not")
        if layer.spec is not None and layer.spec != specs[layer.name]:
            raise UsageError(f"the plan's layer {layer.name!r} is not the network's")
    if not plan.policies:
        raise UsageError("the plan names no policy")


def calibration_of_plan(store: JobStore, key: str) -> str | None:
    """The calibration that the job which made the plan was given."""
    record = store.jobs.maker_of_plan(key)
    return None if record is None else record.request.get("calibration")


def read_request(record: JobRecord) -> Request:
    """The request as it was stored; `UsageError` if this version cannot read it."""
    try:
        return REQUESTS[cast("JobKind", record.kind)].model_validate(dict(record.request))
    except (KeyError, ValidationError) as error:
        raise UsageError(
            f"this {record.kind} job was stored by another version of rankwise: ask for it again"
        ) from error


def cancel(store: JobStore, uuid: str) -> bool:
    """Take a live job out; whether it was live. Whoever runs it has to end its process."""
    return store.jobs.update(uuid, state="cancelled", error="cancelled")


def resume(store: JobStore, uuid: str) -> JobRecord | None:
    """Ask again for what a failed or cancelled job was to do; None if it is neither. What was
    measured is in the store, so the new job goes on where the old one ended."""
    record = store.jobs.get(uuid)
    if record is None or record.state not in ("failed", "cancelled"):
        return None
    return store.jobs.put(new_job(record.kind, read_request(record)))
