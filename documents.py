"""The JSON documents that rankwise reads and writes, as pydantic models.

Their JSON Schemas under `docs/schemas/` are generated from here. Durations are seconds,
`macs` are multiply-accumulates (never doubled) for one example, sizes are bytes.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from . import records

SCHEMA_VERSION = 1

Shape = tuple[int, ...]
Ratio = Annotated[float, Field(gt=0)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Document(_Strict):
    """Every document says what it is and which version of its schema it follows."""

    kind: str
    schema_version: int = SCHEMA_VERSION


class Decomposition(_Strict):
    kind: str
    ranks: tuple[int, ...] = ()
    groups: int = 1

    @classmethod
    def of(cls, record: records.Decomposition) -> Decomposition:
        return cls(kind=record.kind, ranks=record.ranks, groups=record.groups)

    def record(self) -> records.Decomposition:
        return records.Decomposition(self.kind, tuple(self.ranks), self.groups)


class Fingerprint(_Strict):
    backend: str
    hardware_key: str
    software_key: str
    hardware: dict[str, str]
    software: dict[str, str]

    @classmethod
    def of(cls, record: records.DeviceFingerprint) -> Fingerprint:
        return cls(
            backend=record.backend,
            hardware_key=record.hardware_key,
            software_key=record.software_key,
            hardware=dict(record.hardware),
            software=dict(record.software),
        )


class Device(_Strict):
    backend: str
    available: bool
    reason: str
    fingerprint: Fingerprint | None


class Devices(Document):
    kind: Literal["rankwise.devices"] = "rankwise.devices"
    devices: list[Device]


class Check(_Strict):
    """`advice` says what to change; empty where nothing needs to."""

    name: str
    ok: bool
    value: str
    advice: str


class Doctor(Document):
    """Whether this machine is fit to measure; every check has to be ok for that."""

    kind: Literal["rankwise.doctor"] = "rankwise.doctor"
    fit: bool
    backend: str
    checks: list[Check]


class Model(_Strict):
    source: str
    sha256: str
    input_shape: Shape


class Layer(_Strict):
    name: str
    op: str
    spec: dict[str, Any] | None
    spec_key: str | None
    count: int
    macs: int
    params: int
    kinds: list[str]
    reason: str


class Layers(Document):
    kind: Literal["rankwise.layers"] = "rankwise.layers"
    model: Model
    layers: list[Layer]


class Failure(_Strict):
    layer: str
    decomposition: Decomposition
    stage: str
    reason: str


class Staircase(_Strict):
    """What `--rank-quantum auto` found: ranks of this axis that are multiples of `quantum` are
    good (1: there is no staircase). `measured` counts the ranks or pairs that were timed."""

    layer: str
    spec_key: str
    kind: str
    axis: int
    quantum: int
    alignment: int
    measured: int
    text: str


class Profile(Document):
    """`failed` counts candidates that failed in this run; `failures` are all that stand."""

    kind: Literal["rankwise.profile"] = "rankwise.profile"
    model: Model
    device: Fingerprint
    policy: dict[str, Any]
    specs: int
    candidates: int
    measured: int
    already_measured: int
    samples: int
    verdicts: dict[str, int]
    failures: list[Failure]
    failed: int = 0
    staircases: list[Staircase] = []
    elapsed_s: float
    complete: bool


class RowDevice(_Strict):
    backend: str
    hardware_key: str
    software_key: str


class Row(_Strict):
    """One spec, candidate, device and policy. `layers` names all that share the spec. In the
    context `marginal`, a layer whose output has another shape than its input has a saving
    only: latencies and speedup are null."""

    layer: str
    layers: list[str]
    op: str
    spec: dict[str, Any]
    spec_key: str
    count: int
    decomposition: Decomposition
    device: RowDevice
    policy: dict[str, Any]
    latency_s: float | None
    original_latency_s: float | None
    saving_s: float
    speedup: float | None
    speedup_low: float | None
    speedup_high: float | None
    verdict: str
    macs: int
    original_macs: int
    params: int
    measured_at: str
    stale: bool
    measurement_id: str


class Table(Document):
    kind: Literal["rankwise.table"] = "rankwise.table"
    rows: list[Row]
    failures: list[Failure]


class CalibrationNote(_Strict):
    sha256: str
    images: int
    preprocess: str
    split: dict[str, int]


class PlannedLayer(_Strict):
    """The decision for one layer. Kept layers have kind `original` and a reason.
    `in_network_saving_s` is what the layer is thought to save inside the network, fitted
    jointly on the whole networks that were timed (null where there were none)."""

    name: str
    op: str
    spec: dict[str, Any] | None
    decomposition: Decomposition
    rank_quantum: int | None
    factors: Literal["weights", "data"] | None
    original_latency_s: float | None
    predicted_latency_s: float | None
    speedup: float | None
    speedup_low: float | None
    speedup_high: float | None
    verdict: str | None
    layer_error: float | None
    reason: str
    measurement_ids: list[str]
    in_network_saving_s: float | None = None


class Predicted(_Strict):
    """What the plan promises. `network_error` was measured on the select split, before the
    report split was read. `runs` whole networks were timed to fit the latency model, this
    plan's own among them if `own_run`; `model_error` is the median relative error of the
    speedup for runs that were left out one at a time (null for fewer than three)."""

    latency_s: float | None
    speedup: float | None
    speedup_low: float | None
    speedup_high: float | None
    network_error: float | None
    model_error: float | None
    runs: int = 0
    own_run: bool = False


class Verification(_Strict):
    latency_s: float
    original_latency_s: float
    speedup: float
    speedup_low: float
    speedup_high: float
    predicted_speedup: float | None
    fidelity: dict[str, Any]
    device: Fingerprint
    at: str


class VerificationDocument(Verification, Document):
    kind: Literal["rankwise.verification"] = "rankwise.verification"


class Search(_Strict):
    sampler: str
    trials: int
    exact_speedup: float | None
    gap: float | None
    seed: int


class Plan(Document):
    kind: Literal["rankwise.plan"] = "rankwise.plan"
    rankwise_version: str
    created_at: str
    model: Model
    device: Fingerprint
    policies: list[dict[str, Any]]
    objective: dict[str, Any]
    mode: str
    rank_selection: str
    calibration: CalibrationNote | None
    layers: list[PlannedLayer]
    predicted: Predicted
    verified: Verification | None = None
    search: Search


DOCUMENTS: tuple[type[Document], ...] = (
    Devices,
    Doctor,
    Layers,
    Profile,
    Table,
    Plan,
    VerificationDocument,
)
"""Every document that a command prints or writes."""


def schemas() -> dict[str, dict[str, Any]]:
    """JSON Schemas by file name, as they are published under `docs/schemas/`."""
    return {
        f"{document.model_fields['kind'].default}.schema.json": document.model_json_schema()
        for document in DOCUMENTS
    }
