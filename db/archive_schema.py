"""What the lines of an archive must look like: types, content keys, and what belongs together.

Content keys are computed from the JSON as it stands, so that they hold for fields that this
version does not know.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Any, ClassVar, Literal, Self, TypeVar

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, ValidationError, model_validator

from ..records import Decomposition, DeviceFingerprint, LayerSpec, MeasurementPolicy, content_key
from .archive import Reader

Key = Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
WorkloadKey = Annotated[str, Field(pattern=r"^[0-9a-f]{32}([0-9a-f]{32})?$")]
"""Of a whole network it was a SHA-256 once."""
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Time = Annotated[str, Field(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$")]
Count = Annotated[int, Field(ge=0, lt=2**31)]
Positive = Annotated[float, Field(gt=0)]
Json = dict[str, Any]


class Line(BaseModel):
    """A line of a member. An unknown field is an error."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True, allow_inf_nan=False)


class KeyedLine(Line):
    """A value under its content key."""

    value: ClassVar[type[LayerSpec] | type[DeviceFingerprint] | type[MeasurementPolicy]]
    key: Key
    content: Json = Field(alias="json")

    @model_validator(mode="after")
    def _check(self) -> Self:
        self.value.from_json(self.content)  # it can be built
        if content_key(self.content) != self.key:
            raise ValueError("a value's key is not that of its content")
        return self


class SpecLine(KeyedLine):
    """A layer spec."""

    value = LayerSpec


class DeviceLine(KeyedLine):
    """A device's fingerprint."""

    value = DeviceFingerprint


class PolicyLine(KeyedLine):
    """A measurement policy."""

    value = MeasurementPolicy


class WorkloadLine(Line):
    """A candidate, or a run of a whole network."""

    key: WorkloadKey
    kind: Literal["candidate", "network"]
    spec: Key | None
    decomposition: Json | None
    description: Json | None

    @model_validator(mode="after")
    def _check(self) -> Self:
        if (self.kind == "candidate") != (self.spec is not None and self.decomposition is not None):
            raise ValueError("a candidate has a spec and a decomposition, a network has neither")
        if self.decomposition is not None:
            Decomposition.from_json(self.decomposition)
        return self


class LayerLine(Line):
    """A layer of a network; `reason` says why nothing applies to it."""

    name: str
    op: str
    spec: Key | None
    reason: str


class NetworkLine(Line):
    """A network with its layers in order."""

    sha256: Sha256
    source: str
    input_shape: list[int]
    put_at: Time
    layers: list[LayerLine]


class SeriesLine(Line):
    """The samples of one workload on one clock."""

    workload: WorkloadKey
    clock: Annotated[str, Field(max_length=16)]
    rounds: list[Count]
    seconds: list[Positive]
    loops: list[Count]

    @model_validator(mode="after")
    def _check(self) -> Self:
        count = len(self.rounds)
        if not len(self.seconds) == len(self.loops) == count == len(set(self.rounds)):
            raise ValueError("a series has one time and one number of loops for each round")
        return self


class SummaryLine(Line):
    """What a session says of one candidate."""

    workload: WorkloadKey
    estimator_version: int
    rounds: Count
    log_ratio: float
    log_ratio_var: float
    saving_s: float
    saving_var: float
    original_s: float
    candidate_s: float


class PrunedLine(Line):
    """How many raw samples of a session were dropped, and when."""

    samples: Count
    at: Time


SESSION_COLUMNS = (
    *("uuid", "started_at", "ended_at", "host", "boot", "pid", "process_started"),
    *("run_metadata", "board"),
)
"""What a session's line says as its row does."""


class SessionLine(Line):
    """A session with its samples and summaries: a whole that can be imported by itself."""

    uuid: Key
    started_at: Time
    ended_at: Time
    host: str
    boot: str
    pid: int
    process_started: float
    run_metadata: Json = Field(validation_alias=AliasChoices("run_metadata", "circumstances"))
    """Format 1 calls it `circumstances`."""
    board: Annotated[str, Field(max_length=32)] | None = None
    """Formats 1 and 2 do not know it."""
    device: Key
    policy: Key
    original: WorkloadKey
    series: list[SeriesLine]
    summaries: list[SummaryLine]
    pruned: PrunedLine | None

    @model_validator(mode="after")
    def _check(self) -> Self:
        if len({(s.workload, s.clock) for s in self.series}) < len(self.series):
            raise ValueError("a session has one series for each workload and clock")
        if len({s.workload for s in self.summaries}) < len(self.summaries):
            raise ValueError("a session has one summary for each workload")
        return self

    @property
    def workloads(self) -> set[str]:
        used = {self.original, *(s.workload for s in self.series)}
        return used | {s.workload for s in self.summaries}

    @property
    def samples(self) -> int:
        return sum(len(series.rounds) for series in self.series)


class FailureLine(Line):
    """Why a workload has no number."""

    workload: WorkloadKey
    device: Key
    policy: Key
    session: Key | None
    stage: Annotated[str, Field(max_length=16)]
    reason: str
    at: Time
    resolved: bool


class PlanLine(Line):
    """A plan under its key."""

    key: Key
    created_at: Annotated[str, Field(max_length=32)]
    network_sha256: Sha256
    content: Json = Field(alias="json")


class VerificationLine(Line):
    """What verifying a plan measured."""

    plan_key: Key
    content: Json = Field(alias="json")
    at: Time


class SensitivityLine(Line):
    """A network error with one layer replaced."""

    key: Key
    network_sha256: Annotated[str, Field(max_length=64)]
    calibration_sha256: Annotated[str, Field(max_length=64)]
    layer: str
    decomposition: Json
    metric: Annotated[str, Field(max_length=64)]
    value: float
    upper: float
    put_at: Time


_L = TypeVar("_L", bound=Line)


def read(reader: Reader, name: str, kind: type[_L]) -> Iterator[_L]:
    """Yield the lines of a member. Raises `StoreError` at the first that is not what it must be."""
    try:
        yield from map(kind.model_validate_json, reader.lines(name))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"]))
        what = f"{where} {first['msg']:.100}".strip()
        raise reader.refused(f"a line of {name} is wrong ({what})") from None
    except (TypeError, KeyError, AttributeError, ValueError):
        raise reader.refused(f"a line of {name} is not such a value") from None
