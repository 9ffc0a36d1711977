"""What a plan costs that was edited by hand."""

from __future__ import annotations

from typing import Literal

from .base import Decomposition, Document, Errors, Fingerprint, Model, Strict, speedup_text


class WhatIfLayer(Strict):
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
    measured; `network_error`, and `errors` by part and by picture, where no calibration pictures
    were given."""

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
    errors: Errors | None = None
    layers: list[WhatIfLayer]

    @property
    def headline(self) -> str:
        where = f"{self.model.source} on {self.device.backend}"
        return f"{where}: predicted speedup {speedup_text(self)}"
