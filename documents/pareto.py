"""The front of speedup against network error."""

from __future__ import annotations

from typing import Any, Literal

from .base import CalibrationNote, Decomposition, Document, Errors, Fingerprint, Model, Strict


class FrontPoint(Strict):
    """One plan on the front. `network_error` was measured on the select split, and stays below
    `network_error_upper` on as many other pictures in nine cases of ten. `measured` says
    whether the speedup was timed on the whole network, or follows from its layers. `plan` makes
    the point's plan for `max_error`, which is null where no limit was given. `errors` are by part
    and by picture. Speedups are over the original in float32, whatever `dtype` the plan is in."""

    dtype: str = "float32"
    speedup: float
    speedup_low: float
    speedup_high: float
    latency_s: float
    measured: bool
    network_error: float
    network_error_upper: float
    max_error: float | None
    macs: int
    params: int
    replaced: int
    decisions: dict[str, Decomposition]
    errors: Errors | None = None


class Pareto(Document):
    """The front of speedup against network error, by rising error; the original comes first.
    `layers` is how many the network has."""

    kind: Literal["rankwise.pareto"] = "rankwise.pareto"
    model: Model
    device: Fingerprint
    policy: dict[str, Any]
    calibration: CalibrationNote | None
    layers: int
    points: list[FrontPoint]

    @property
    def dtypes(self) -> list[str]:
        """The dtypes of the points, float32 first."""
        return list(dict.fromkeys(one.dtype for one in self.points))

    @property
    def headline(self) -> str:
        fastest = max((one.speedup for one in self.points), default=1.0)
        where = f"{self.model.source} on {self.device.backend}"
        return f"{where}: {len(self.points)} plans, speedups up to {fastest:.3f}"
