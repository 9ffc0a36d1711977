"""Fronts of speedup against network error."""

from __future__ import annotations

from typing import Any, Literal

from .base import CalibrationNote, Decomposition, Document, Fingerprint, Model, Strict


class FrontPoint(Strict):
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


class LimitPoint(Strict):
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
