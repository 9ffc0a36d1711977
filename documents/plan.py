"""The compression plan, with what it promises and how it was verified."""

from __future__ import annotations

from collections import Counter
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from .. import records
from . import plan_versions
from .base import (
    SCHEMA_VERSION,
    CalibrationNote,
    Decomposition,
    Document,
    Errors,
    Fingerprint,
    Model,
    Strict,
    speedup_text,
)


class ComparedPart(Strict):
    """A part of an output that counts in the network error. `selection` is written as in NumPy
    (`[:,4:]`), empty for the whole output; weights are relative to each other."""

    name: str
    output: str
    selection: str = ""
    weight: float = 1.0


class PlannedLayer(Strict):
    """The decision for one layer. Kept layers have kind `original` and a reason. `shrinkage` is
    how far the input moments that factors were made from were shrunk, `output_shrinkage` the metric
    of the output (null: that side had no part in them), and `layer_error` the error of the layer's
    output on the select split, weighted as the network hears it where there is such a metric
    (without calibration: of its weight).
    `in_network_saving_s` is what the layer is thought to save inside the network, fitted
    jointly on the whole networks that were timed (null where there were none). Latencies are sums
    over the layer's `calls`, of which `spec` is the one with the most multiply-accumulates."""

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
    output_shrinkage: float | None = None
    in_network_saving_s: float | None = None
    calls: int = 1


class Predicted(Strict):
    """What is expected of the plan. `network_error` is the one on the select split, with `errors`
    by part and by picture. `runs` whole networks were timed to fit the latency model, this plan's
    own among them if `own_run`; `model_error` is the median relative error of the speedup for runs
    that were left out one at a time (null for fewer than three)."""

    latency_s: float | None
    speedup: float | None
    speedup_low: float | None
    speedup_high: float | None
    network_error: float | None
    errors: Errors | None = None
    model_error: float | None
    runs: int = 0
    own_run: bool = False


class OnDevice(Strict):
    """What a plan for several devices does on one of them. Where the whole network was `timed`
    there, the prediction rests on that; else on the sum of its layers, and `reason` says why. The
    device's own best plan has the key `own_plan` in the store, and is predicted to reach
    `own_speedup` (null: there is none)."""

    device: Fingerprint
    backend: str
    predicted: Predicted
    timed: bool
    reason: str = ""
    own_plan: str | None = None
    own_speedup: float | None = None


class Promise(Strict):
    """What is promised of the network error on new pictures: with probability `confidence` it is
    at most `max_error`. `looks` plans were held against the limit on `pictures` pictures that the
    search has not read; this one's `network_error` there is at most `upper` on as many new ones as
    the report split has. Unless `confirmed` nothing is promised, and `reason` says why."""

    max_error: float
    confidence: float
    confirmed: bool
    reason: str = ""
    pictures: int = 0
    looks: int = 0
    network_error: float | None = None
    upper: float | None = None


class NetworkInDtype(Strict):
    """One of the networks in another type than float32, timed in the same rounds as the others; its
    speedup is over the original in float32. `recipe` says how it was quantised to int8,
    `network_error` is the one on the report split, with `errors` by part and by picture (null
    without pictures)."""

    network: Literal["original", "compressed"]
    dtype: Literal["int8", "float16", "bfloat16"] = "int8"
    recipe: str = ""
    latency_s: float
    speedup: float
    speedup_low: float
    speedup_high: float
    network_error: float | None
    errors: Errors | None = None


class Verification(Strict):
    latency_s: float
    original_latency_s: float
    speedup: float
    speedup_low: float
    speedup_high: float
    predicted_speedup: float | None
    fidelity: dict[str, Any]
    """On the report split, the network error as `relative_error`, and other measures of what is
    compared; of several parts by name under `parts`."""
    errors: Errors | None = None
    """The network error by part and by picture, on the report split."""
    in_int8: list[NetworkInDtype] = Field(default_factory=list)
    """Both networks in int8, where that was asked for."""
    in_half: list[NetworkInDtype] = Field(default_factory=list)
    """Both networks in float16 or bfloat16, where that was asked for."""
    device: Fingerprint
    at: str


class VerificationDocument(Verification, Document):
    kind: Literal["rankwise.verification"] = "rankwise.verification"

    @property
    def headline(self) -> str:
        return f"measured speedup {speedup_text(self)} on {self.device.backend}"


class Search(Strict):
    """How the plan was found. `exact_speedup` and `gap` are those of the exact solution by sums;
    `passes` counts runs of a network over the select or the confirm split. `asked_key` stands for
    what was asked for: the same search of the same measurements need not be done again (null: it
    was cut off, or depends on what no key knows)."""

    sampler: str
    trials: int
    exact_speedup: float | None
    gap: float | None
    seed: int
    passes: int = 0
    asked_key: str | None = None


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
    compared: list[ComparedPart] = Field(default_factory=list)
    """What of the network's outputs is compared; empty in plans of before, which compare the first
    output."""
    notes: list[str] = Field(default_factory=list)
    """What the reader should know of how the plan was made, in sentences."""
    layers: list[PlannedLayer]
    match_channels: bool = False
    """Whether channels of replaced layers have the original's mean and deviation again."""
    predicted: Predicted
    on_devices: list[OnDevice] = Field(default_factory=list)
    """Of a plan for several devices, all of them; `device` is the one that gains least."""
    promise: Promise | None = None
    verified: Verification | None = None
    search: Search

    @model_validator(mode="before")
    @classmethod
    def _up_to_date(cls, data: Any) -> Any:
        return plan_versions.migrated(data, SCHEMA_VERSION) if isinstance(data, dict) else data

    @property
    def headline(self) -> str:
        return (
            f"{self.model.source} on {self.device.backend}: {len(self.decisions)} of "
            f"{len(self.layers)} layers replaced, predicted speedup {speedup_text(self.predicted)}"
        )

    @property
    def decisions(self) -> dict[str, records.Decomposition]:
        """What becomes of each replaced layer, by name, and of each that stays in float32 among
        others in int8."""
        records = {layer.name: layer.decomposition.record() for layer in self.layers}
        return {name: record for name, record in records.items() if not record.is_original}

    @property
    def dtype(self) -> str:
        """The type of weights and activations in which layers were timed and errors measured."""
        return str(self.policies[0].get("dtype", "float32"))

    @property
    def in_int8(self) -> bool:
        """Whether it is a plan for a network that is quantised to int8."""
        return self.dtype == "int8"

    @property
    def in_float(self) -> list[str]:
        """The layers that stay in float32 among others in int8."""
        return [name for name, record in self.decisions.items() if record.precision]

    @model_validator(mode="after")
    def _one_decision_a_layer(self) -> Self:
        names = Counter(layer.name for layer in self.layers)
        if twice := [name for name, count in names.items() if count > 1]:
            raise ValueError(f"layer {twice[0]!r} is there twice")
        return self
