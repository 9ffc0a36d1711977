"""What may be asked of a job, as pydantic models: the bodies of the API, and what is stored."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Id = Annotated[str, Field(pattern=r"^[0-9A-Za-z_]{1,160}$")]
Backend = Annotated[
    str,
    Field(
        pattern=r"^[a-z0-9-]{1,40}(:[a-z_]{1,20}=[0-9a-z.-]{1,20}(,[a-z_]{1,20}=[0-9a-z.-]{1,20}){0,9})?$",
        description="Device family, perhaps with options, as `fake:step=16`.",
    ),
]
Count = Annotated[int, Field(ge=1, le=4096)]
Positive = Annotated[float, Field(gt=0, le=1e6, allow_inf_nan=False)]
Seed = Annotated[int, Field(ge=0, le=2**31 - 1)]
Preprocess = Literal["imagenet", "caffe-bgr", "unit"]
Sampler = Literal["tpe", "random", "nsgaii", "gp", "cmaes"]


class Request(BaseModel):
    """Common to all; unknown fields are refused."""

    model_config = ConfigDict(extra="forbid")


class DevicesRequest(Request):
    """Try every backend with a tiny computation."""


class ProfileRequest(Request):
    """Measure what is missing of a network on a device."""

    network: Id
    backend: Backend
    batch: Count | None = None
    threads: Count = 1
    kinds: Annotated[list[Id], Field(min_length=1, max_length=16)] | None = None
    rank_quantum: Count | None = None
    interval: Annotated[float, Field(gt=0, lt=1)] | None = None
    max_time_s: Positive | None = None
    refresh: bool = False
    retry_failed: bool = False
    phase: Literal["inference", "training"] = "inference"
    dtype: Literal["float32"] = "float32"


class _Searching(Request):
    network: Id
    backend: Backend
    batch: Count | None = None
    threads: Count = 1
    calibration: Id | None = None
    preprocess: Preprocess | None = None
    seed: Seed = 0


class FrontRequest(_Searching):
    """The front of speedup against fidelity."""

    max_errors: Annotated[list[Positive], Field(min_length=1, max_length=20)] | None = None


class PlanRequest(_Searching):
    """Choose kind and rank for each layer. One of `max_error`, `target_speedup` is needed."""

    max_error: Positive | None = None
    target_speedup: Positive | None = None
    max_params: Annotated[int, Field(ge=1, le=2**50)] | None = None
    trials: Annotated[int, Field(ge=0, le=10_000)] | None = None
    sampler: Sampler = "tpe"
    refine: bool = True


class ApplyRequest(Request):
    """Write the compressed network."""

    plan: Id
    network: Id | None = Field(None, description="Default: the one with the plan's hash.")
    calibration: Id | None = None
    format: Literal["onnx", "safetensors"] = "onnx"


class VerifyRequest(Request):
    """Time the compressed network against the original, and compare outputs."""

    plan: Id
    network: Id | None = Field(None, description="Default: the one with the plan's hash.")
    backend: Backend | None = None
    threads: Count | None = None
    calibration: Id | None = None


REQUESTS: dict[str, type[Request]] = {
    "devices": DevicesRequest,
    "profile": ProfileRequest,
    "front": FrontRequest,
    "plan": PlanRequest,
    "apply": ApplyRequest,
    "verify": VerifyRequest,
}
"""By the job's kind."""
