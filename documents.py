"""The JSON documents that rankwise reads and writes, as pydantic models.

Their JSON Schemas under `docs/schemas/` are generated from here. Durations are seconds,
`macs` are multiply-accumulates (never doubled) for one example, sizes are bytes.
"""

from __future__ import annotations

from collections import Counter
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from . import plan_versions, records

SCHEMA_VERSION = 2
"""Of all documents together. Plans are kept and edited, so older ones are still read: whoever
raises this adds to `plan_versions.MIGRATIONS`."""

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


class RankedLayer(_Strict):
    """What a rule makes of a layer. `macs` and `params` are those of the chain, `layer_error`
    is the relative error of the weight; `reason` says why the layer stays as it is."""

    decomposition: Decomposition
    macs: int
    params: int
    layer_error: float
    reason: str


class Ranking(_Strict):
    """How ranks were chosen. `final_dense_ratio` is the final dense layer's own parameter
    reduction; null where it follows the rule."""

    rule: str
    parameters: dict[str, float]
    rank_quantum: int
    rounding: str
    kinds: list[str]
    mode: str
    final_dense_ratio: float | None


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
    ranked: RankedLayer | None = None


class Layers(Document):
    kind: Literal["rankwise.layers"] = "rankwise.layers"
    model: Model
    ranking: Ranking | None = None
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
    stale: int = 0
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
    """The decision for one layer. Kept layers have kind `original` and a reason. `shrinkage` is
    how far factors from data were pulled towards those from the weights, and `layer_error` that
    of the layer's output on the select split (without calibration: of its weight).
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
    shrinkage: float | None = None
    in_network_saving_s: float | None = None


class Predicted(_Strict):
    """What the plan promises. `network_error` is the one on the select split, before the report
    split was read; unless `network_error_measured` it follows from plans that were measured
    earlier, and the layers' errors are those before factors are refined. `runs` whole networks
    were timed to fit the latency model, this plan's own among them if `own_run`; `model_error`
    is the median relative error of the speedup for runs that were left out one at a time (null
    for fewer than three)."""

    latency_s: float | None
    speedup: float | None
    speedup_low: float | None
    speedup_high: float | None
    network_error: float | None
    model_error: float | None
    runs: int = 0
    own_run: bool = False
    network_error_measured: bool = True


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
    """`seed_speedup`: of the exact solution, timed as a whole network beside the winner;
    `trial_speedup`: of the best measured trial, likewise."""

    sampler: str
    trials: int
    exact_speedup: float | None
    gap: float | None
    seed: int
    measured_trials: int = 0
    seed_speedup: float | None = None
    trial_speedup: float | None = None


class Plan(Document):
    """Reading one raises `PlanError` for a schema version that is not known here; older ones
    are brought up to date."""

    kind: Literal["rankwise.plan"] = "rankwise.plan"
    rankwise_version: str
    created_at: str
    model: Model
    device: Fingerprint
    backend: str | None = None
    """The device's backend as it was opened, with its options; null in plans of before."""
    policies: list[dict[str, Any]] = Field(min_length=1)
    objective: dict[str, Any]
    mode: str
    rank_selection: str
    calibration: CalibrationNote | None
    layers: list[PlannedLayer]
    predicted: Predicted
    verified: Verification | None = None
    search: Search

    @model_validator(mode="before")
    @classmethod
    def _up_to_date(cls, data: Any) -> Any:
        return plan_versions.migrated(data, SCHEMA_VERSION) if isinstance(data, dict) else data

    @model_validator(mode="after")
    def _one_decision_a_layer(self) -> Self:
        names = Counter(layer.name for layer in self.layers)
        if twice := [name for name, count in names.items() if count > 1]:
            raise ValueError(f"layer {twice[0]!r} is there twice")
        return self


class LayerCost(_Strict):
    """What one way of computing a layer takes, for a whole batch. `moved_bytes` is the least
    traffic: every operator reads its input and weights and writes its output once."""

    macs: int
    moved_bytes: int
    launches: int
    latency_s: float
    macs_per_byte: float
    macs_per_s: float


class ExplainedCandidate(_Strict):
    decomposition: Decomposition
    verdict: str
    speedup: float
    speedup_low: float
    speedup_high: float
    chain: LayerCost
    reasons: list[str]
    measurement_id: str


class ExplainedLayer(_Strict):
    """`reason` is the plan's (empty without a plan). `candidates` are the plan's choice, or
    else the fastest; every measured one where a single layer was asked for."""

    name: str
    count: int
    reason: str
    original: LayerCost | None
    candidates: list[ExplainedCandidate]


class Explanation(Document):
    """`ridge_macs_per_byte` separates, on this device and among what was measured, layers
    limited by traffic (below) from layers limited by arithmetic."""

    kind: Literal["rankwise.explanation"] = "rankwise.explanation"
    device: RowDevice
    policy: dict[str, Any]
    ridge_macs_per_byte: float
    layers: list[ExplainedLayer]


class WhatIfLayer(_Strict):
    name: str
    decomposition: Decomposition
    original_latency_s: float | None
    latency_s: float | None
    speedup: float | None
    verdict: str | None
    macs: int
    params: int
    layer_error: float | None
    note: str


class WhatIf(Document):
    """A plan's cost without timing it. Latencies are null where a chosen candidate was never
    measured; `network_error` where no calibration pictures were given."""

    kind: Literal["rankwise.what_if"] = "rankwise.what_if"
    model: Model
    device: Fingerprint
    original_latency_s: float | None
    latency_s: float | None
    speedup: float | None
    speedup_low: float | None
    speedup_high: float | None
    macs: int
    original_macs: int
    params: int
    original_params: int
    network_error: float | None
    layers: list[WhatIfLayer]


class FrontPoint(_Strict):
    """One plan on the front. `network_error` was measured on the select split, and stays below
    `network_error_upper` on as many other pictures in nine cases of ten. `measured` says
    whether the speedup was timed on the whole network, or follows from its layers."""

    speedup: float
    speedup_low: float
    speedup_high: float
    latency_s: float
    measured: bool
    network_error: float
    network_error_upper: float
    macs: int
    params: int
    replaced: int
    decisions: dict[str, Decomposition]


class Pareto(Document):
    """The front of speedup against network error, by rising error; the original comes first."""

    kind: Literal["rankwise.pareto"] = "rankwise.pareto"
    model: Model
    device: Fingerprint
    policy: dict[str, Any]
    calibration: CalibrationNote | None
    points: list[FrontPoint]


class LimitPoint(_Strict):
    """What can be had at one limit on the network error. `speedup` is predicted from layers
    measured alone; `network_error` was measured on the select split."""

    max_error: float
    speedup: float | None
    speedup_low: float | None
    speedup_high: float | None
    network_error: float | None
    replaced: int


class Front(Document):
    """Speedup against fidelity; a plan for a point comes from its `max_error`."""

    kind: Literal["rankwise.front"] = "rankwise.front"
    model: Model
    device: Fingerprint
    policies: list[dict[str, Any]]
    layers: int
    calibration: CalibrationNote | None
    points: list[LimitPoint]


class ErrorChange(_Strict):
    """Relative error of the network's outputs against the original's."""

    before: float
    after: float


class ReportChange(ErrorChange):
    """On the report split, read once. `ratio` is after / before, its 95% interval a bootstrap
    over pictures."""

    pictures: int
    examples: int
    ratio: float
    ratio_low: float
    ratio_high: float
    fidelity_before: dict[str, Any]
    fidelity_after: dict[str, Any]


class TrainingPoint(_Strict):
    """`score` is the error on the select split, or what the user's own function reported."""

    step: int
    elapsed_s: float
    loss: float | None
    score: float | None


class Recovery(Document):
    """What training did to a decomposed network. `method`: `distillation`, or the user's own
    function. `stopped`: `budget`, `early`, `not_finite`, or `function` (it returned)."""

    kind: Literal["rankwise.recovery"] = "rankwise.recovery"
    rankwise_version: str
    at: str
    model: Model
    plan_created_at: str
    method: str
    data: CalibrationNote | None
    options: dict[str, Any]
    steps: int
    elapsed_s: float
    stopped: str
    select: ErrorChange | None
    report: ReportChange | None
    history: list[TrainingPoint]
    output: str


DOCUMENTS: tuple[type[Document], ...] = (
    Devices,
    Doctor,
    Layers,
    Profile,
    Table,
    Plan,
    VerificationDocument,
    Explanation,
    WhatIf,
    Pareto,
    Recovery,
    Front,
)
"""Every document that a command prints or writes."""


def schemas() -> dict[str, dict[str, Any]]:
    """JSON Schemas by file name, as they are published under `docs/schemas/`."""
    return {
        f"{document.model_fields['kind'].default}.schema.json": document.model_json_schema()
        for document in DOCUMENTS
    }
