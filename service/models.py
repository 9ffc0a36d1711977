"""What the API answers with, beyond the documents that the command line prints, too."""

from __future__ import annotations

from typing import Any, Generic, Literal, TypeVar

from pydantic import BaseModel, Field

from .. import documents
from ..jobs.artifacts import AppliedEntry, CalibrationEntry, NetworkEntry

T = TypeVar("T")
State = Literal["queued", "running", "done", "failed", "cancelled"]
JobKind = Literal["devices", "profile", "front", "plan", "apply", "verify"]


class Problem(BaseModel):
    """Why a request was refused, in one sentence."""

    detail: str


class Page(BaseModel, Generic[T]):
    """A part of a list; `total` counts all of it."""

    items: list[T]
    total: int
    limit: int
    offset: int


class Progress(BaseModel):
    done: float | None = None
    total: float | None = None
    text: str = ""
    messages: list[str] = []


class Job(BaseModel):
    """Long work. `result` is what its kind gives: a document, or the id of what was made."""

    id: str
    kind: JobKind
    state: State
    request: dict[str, Any]
    progress: Progress
    result: dict[str, Any] | None
    error: str
    created_at: str
    started_at: str | None
    ended_at: str | None

    @classmethod
    def of(cls, record: Any) -> Job:
        return cls(
            id=record.uuid,
            kind=record.kind,
            state=record.state,
            request=dict(record.request),
            progress=Progress.model_validate(dict(record.progress)),
            result=None if record.result is None else dict(record.result),
            error=record.error,
            created_at=record.created_at,
            started_at=record.started_at,
            ended_at=record.ended_at,
        )


class Network(BaseModel):
    """A network that can be profiled: one of the zoo, or one that was uploaded."""

    id: str
    name: str
    format: Literal["zoo", "onnx", "safetensors"]
    architecture: str | None
    bytes: int
    added_at: str | None
    sha256: str | None
    input_shape: tuple[int, ...] | None
    layers: int | None = Field(description="How many convolutions and linear layers it has.")

    @classmethod
    def of(cls, entry: NetworkEntry) -> Network:
        return cls(
            id=entry.id,
            name=entry.name,
            format=entry.format,
            architecture=entry.architecture,
            bytes=entry.bytes,
            added_at=entry.added_at,
            sha256=entry.sha256,
            input_shape=entry.input_shape,
            layers=None if entry.layers is None else len(entry.layers["layers"]),
        )


class Calibration(BaseModel):
    """Calibration pictures, or ready tensors."""

    id: str
    name: str
    kind: Literal["pictures", "tensors"]
    count: int
    bytes: int
    added_at: str

    @classmethod
    def of(cls, entry: CalibrationEntry) -> Calibration:
        return cls(
            id=entry.id,
            name=entry.name,
            kind=entry.kind,
            count=entry.count,
            bytes=entry.bytes,
            added_at=entry.added_at,
        )


class Applied(BaseModel):
    """A compressed network, ready to be downloaded."""

    id: str
    plan: str
    format: str
    sha256: str
    bytes: int
    added_at: str

    @classmethod
    def of(cls, entry: AppliedEntry) -> Applied:
        return cls(
            id=entry.id,
            plan=entry.plan,
            format=entry.format,
            sha256=entry.sha256,
            bytes=entry.bytes,
            added_at=entry.added_at,
        )


class PlanNote(BaseModel):
    """A plan in a list; the document itself is under its key."""

    key: str
    created_at: str
    network: str = Field(description="SHA-256 of the network it was made for.")
    backend: str
    layers: int
    replaced: int
    objective: dict[str, Any]
    predicted: documents.Predicted
    verified: documents.Verification | None

    @classmethod
    def of(cls, key: str, plan: documents.Plan) -> PlanNote:
        replaced = sum(layer.decomposition.kind != "original" for layer in plan.layers)
        return cls(
            key=key,
            created_at=plan.created_at,
            network=plan.model.sha256,
            backend=plan.device.backend,
            layers=len(plan.layers),
            replaced=replaced,
            objective=plan.objective,
            predicted=plan.predicted,
            verified=plan.verified,
        )


class PlanVerification(documents.Verification):
    """A verification, and the plan that it is of."""

    plan: str


class Login(BaseModel):
    token: str = Field(max_length=1000)


class Session(BaseModel):
    """Whether this service asks for a token, and whether the caller has shown it."""

    needed: bool
    admitted: bool
    version: str
