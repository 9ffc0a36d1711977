"""What the API answers with, beyond the documents that the command line prints, too."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Generic, Literal, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from .. import documents
from ..jobs.requests import JobKind
from ..workflow.fronts import KnownFront

T = TypeVar("T")
NetworkFormat = Literal["zoo", "onnx", "safetensors", "store"]
State = Literal["queued", "running", "done", "failed", "cancelled"]


class Problem(BaseModel):
    """Why a request was refused, in one sentence."""

    detail: str


class Page(BaseModel, Generic[T]):
    """A part of a list; `total` counts all of it."""

    items: list[T]
    total: int
    limit: int
    offset: int


class LogLine(BaseModel):
    """One line of a job's log."""

    at: str
    text: str


class Progress(BaseModel):
    """How far a job is, the seconds that are left at the pace so far (null while nobody knows), its
    last messages, and its log: messages and steps, each with its time."""

    done: float | None = None
    total: float | None = None
    text: str = ""
    left_s: float | None = None
    messages: list[str] = []
    log: list[LogLine] = []


class Job(BaseModel):
    """Long work. `result` is what its kind gives: a document, or the id of what was made; `device`
    the one of the fleet that has it, or had it last, and `attempt` how often it was begun."""

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
    device: str | None
    attempt: int

    @classmethod
    def of(cls, record: Any) -> Job:
        others = {name: getattr(record, name) for name in cls.model_fields if name != "id"}
        return cls(id=record.uuid, **others)

    @classmethod
    def in_list(cls, record: Any) -> Job:
        """Without its log, which a list of hundreds would be full of."""
        job = cls.of(record)
        job.progress.log = []
        return job


def _count(layers: Any) -> Any:
    return len(layers["layers"]) if isinstance(layers, dict) else layers


class Network(BaseModel):
    """A network of the zoo, or one that was uploaded (a `NetworkEntry`), or one that only the store
    knows, because it was profiled on the command line."""

    model_config = ConfigDict(from_attributes=True)
    id: str
    name: str
    format: NetworkFormat
    architecture: str | None
    bytes: int
    added_at: str | None
    sha256: str | None
    input_shape: tuple[int, ...] | None
    layers: Annotated[int | None, BeforeValidator(_count)] = Field(
        description="How many convolutions and linear layers it has."
    )
    measured: bool = Field(False, description="Whether anything of it was measured.")


class GraphNode(BaseModel):
    """A layer, or a place where ways meet, such as the addition of a residual block."""

    name: str
    op: str
    layer: bool


class NetworkGraph(BaseModel):
    """Nodes in the network's order; edges are pairs of places in the list, the smaller first.
    Unless `known`, the layers are merely laid one after the other."""

    known: bool
    nodes: list[GraphNode]
    edges: list[tuple[int, int]]

    @classmethod
    def of(cls, layers: Sequence[Mapping[str, Any]], graph: Mapping[str, Any]) -> NetworkGraph:
        if graph:
            return cls(known=True, **graph)
        nodes = [GraphNode(name=one["name"], op=one["op"], layer=True) for one in layers]
        chain = [(place - 1, place) for place in range(1, len(nodes))]
        return cls(known=False, nodes=nodes, edges=chain)


class Front(documents.Pareto):
    """A front, when it was made, and what a plan takes over from it."""

    key: str
    made_at: str
    asked: dict[str, Any]

    @classmethod
    def known(cls, one: KnownFront) -> Front:
        own: dict[str, Any] = {"key": one.key, "made_at": one.made_at, "asked": dict(one.asked)}
        return cls(**one.front.model_dump(), **own)


class Calibration(BaseModel):
    """Calibration pictures, or ready tensors: a `CalibrationEntry`."""

    model_config = ConfigDict(from_attributes=True)
    id: str
    name: str
    kind: Literal["pictures", "tensors"]
    count: int
    bytes: int
    added_at: str


class Applied(BaseModel):
    """A compressed network, ready to be downloaded: an `AppliedEntry`."""

    model_config = ConfigDict(from_attributes=True)
    id: str
    plan: str
    format: str
    sha256: str
    bytes: int
    added_at: str


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
        return cls(
            key=key,
            created_at=plan.created_at,
            network=plan.model.sha256,
            backend=plan.device.backend,
            layers=len(plan.layers),
            replaced=len(plan.decisions),
            objective=plan.objective,
            predicted=plan.predicted,
            verified=plan.verified,
        )


class PlanVerification(documents.Verification):
    """A verification, and the plan that it is of."""

    plan: str


class Login(BaseModel):
    """The token that is exchanged for a cookie."""

    token: str = Field(max_length=1000)


class Session(BaseModel):
    """Whether this service asks for a token, whether the caller has shown it, and whether jobs go
    to a fleet."""

    needed: bool
    admitted: bool
    version: str
    fleet: bool
