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
    Fingerprint,
    Model,
    Strict,
)


class PlannedLayer(Strict):
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


class Predicted(Strict):
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


class Verification(Strict):
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


class Search(Strict):
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

    @property
    def decisions(self) -> dict[str, records.Decomposition]:
        """What becomes of each replaced layer, by name."""
        return {
            layer.name: layer.decomposition.record()
            for layer in self.layers
            if layer.decomposition.kind != "original"
        }

    @model_validator(mode="after")
    def _one_decision_a_layer(self) -> Self:
        names = Counter(layer.name for layer in self.layers)
        if twice := [name for name, count in names.items() if count > 1]:
            raise ValueError(f"layer {twice[0]!r} is there twice")
        return self
