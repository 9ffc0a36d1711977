"""Why layers are or are not faster."""

from __future__ import annotations

from typing import Any, Literal

from .base import Decomposition, Document, RowDevice, Strict


class LayerCost(Strict):
    """What one way of computing a layer takes, for a whole batch. `moved_bytes` is the least
    traffic: every operator reads its input and weights and writes its output once."""

    macs: int
    moved_bytes: int
    launches: int
    latency_s: float
    macs_per_byte: float
    macs_per_s: float


class ExplainedCandidate(Strict):
    decomposition: Decomposition
    verdict: str
    speedup: float
    speedup_low: float
    speedup_high: float
    chain: LayerCost
    reasons: list[str]
    measurement_id: str


class ExplainedLayer(Strict):
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

    @property
    def headline(self) -> str:
        return f"{len(self.layers)} layers on {self.device.backend}"
