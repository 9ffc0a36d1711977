"""Frozen value types and their content keys. Numbers and names only: nothing here computes.

A content key is the first 32 hex digits of the SHA-256 of a value's canonical JSON, so equal
values have equal keys in every process, on every machine, and in every version of the store.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from enum import StrEnum
from typing import Any, Literal, Self

Op = Literal["conv2d", "linear"]
Phase = Literal["inference", "training"]
Context = Literal["isolated", "marginal", "in_network"]
Cache = Literal["hot", "cold"]
FailureStage = Literal["prepare", "convert", "run", "timeout", "crash"]

KEY_DIGITS = 32


def canonical_json(value: object) -> str:
    """JSON with sorted keys and no spaces: one text for one value."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True)


def content_key(value: object) -> str:
    """The content key of anything that JSON can hold."""
    return hashlib.sha256(canonical_json(value).encode()).hexdigest()[:KEY_DIGITS]


def element_bytes(dtype: str) -> int:
    """Bytes of one number: `float32` 4, `bfloat16` 2, `int8` 1. `ValueError` for no number."""
    bits = dtype.lstrip("abcdefghijklmnopqrstuvwxyz")
    if not bits.isdigit() or int(bits) % 8:
        raise ValueError(f"{dtype!r} is no type of whole bytes")
    return int(bits) // 8


def _frozen(value: Any) -> Any:
    return tuple(_frozen(v) for v in value) if isinstance(value, list) else value


class _Jsonable:
    """`to_json` / `from_json` for flat dataclasses whose sequences are tuples."""

    __slots__ = ()

    def to_json(self) -> dict[str, Any]:
        # not `asdict`, whose deep copies are most of the time that a key takes
        return {f.name: getattr(self, f.name) for f in fields(self)}  # type: ignore[arg-type]

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Self:
        known = {f.name for f in fields(cls)}  # type: ignore[arg-type]
        return cls(**{k: _frozen(v) for k, v in document.items() if k in known})


class _Keyed(_Jsonable):
    """A value that has a content key."""

    __slots__ = ()

    @property
    def key(self) -> str:
        return content_key(self.to_json())


@dataclass(frozen=True, slots=True)
class LayerSpec(_Keyed):
    """A convolution or linear layer without its name, its weights and the batch.

    Shapes: `input_shape` is one example's, without the batch: (C_in, H, W) for `conv2d`,
    (..., C_in) for `linear`. `padding` is ONNX's order (top, left, bottom, right). The
    weight of a convolution is (out_channels, in_channels / groups, kh, kw), of a linear
    layer (out_channels, in_channels).
    """

    op: Op
    in_channels: int
    out_channels: int
    input_shape: tuple[int, ...]
    kernel_size: tuple[int, int] = (1, 1)
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int, int, int] = (0, 0, 0, 0)
    dilation: tuple[int, int] = (1, 1)
    groups: int = 1
    bias: bool = True
    dtype: str = "float32"

    @property
    def output_shape(self) -> tuple[int, ...]:
        """One example's output: (C_out, H_out, W_out), or (..., C_out) for `linear`."""
        if self.op == "linear":
            return (*self.input_shape[:-1], self.out_channels)
        top, left, bottom, right = self.padding
        height, width = self.input_shape[1:]
        return (
            self.out_channels,
            self._length(0, height + top + bottom),
            self._length(1, width + left + right),
        )

    def _length(self, axis: int, padded: int) -> int:
        reach = self.dilation[axis] * (self.kernel_size[axis] - 1)
        return (padded - reach - 1) // self.stride[axis] + 1

    @property
    def weight_shape(self) -> tuple[int, ...]:
        if self.op == "linear":
            return (self.out_channels, self.in_channels)
        return (self.out_channels, self.in_channels // self.groups, *self.kernel_size)

    @property
    def params(self) -> int:
        """Number of weights, bias included."""
        return math.prod(self.weight_shape) + (self.out_channels if self.bias else 0)

    @property
    def macs(self) -> int:
        """Multiply-accumulates for one example (never doubled); the bias is not counted."""
        positions = math.prod(self.output_shape) // self.out_channels
        return math.prod(self.weight_shape) * positions


@dataclass(frozen=True, slots=True)
class Decomposition(_Keyed):
    """A kind of low-rank decomposition and its ranks. The original is a value too."""

    kind: str = "original"
    ranks: tuple[int, ...] = ()
    groups: int = 1

    @property
    def is_original(self) -> bool:
        return self.kind == "original"

    def __str__(self) -> str:
        ranks = "x".join(map(str, self.ranks))
        return f"{self.kind} {ranks}".strip() + (f" g{self.groups}" if self.groups > 1 else "")


ORIGINAL = Decomposition()


@dataclass(frozen=True, slots=True)
class Candidate:
    """A layer and one way to compute it."""

    spec: LayerSpec
    decomposition: Decomposition

    @property
    def key(self) -> str:
        return content_key([self.spec.to_json(), self.decomposition.to_json()])


@dataclass(frozen=True, slots=True)
class LayerUse:
    """One named layer of a network. `reason` says why nothing applies to it (else empty).

    `calls` are the specs of a layer that is called several times, one a call, and `spec` is then
    the one with the most multiply-accumulates: its cost is the sum over its calls.
    """

    name: str
    op: str
    spec: LayerSpec | None
    reason: str = ""
    calls: tuple[LayerSpec, ...] = ()

    @property
    def every_call(self) -> tuple[LayerSpec, ...]:
        """The spec of each call; nothing for a layer without a spec."""
        return self.calls or (() if self.spec is None else (self.spec,))


@dataclass(frozen=True, slots=True)
class DeviceFingerprint(_Keyed):
    """What a device is. Rows are comparable only where both keys agree.

    `hardware`: chip, cores or SMs, memory, ISA. `software`: driver, runtime, library
    versions. Metadata of a run (load, clocks, temperature) are in neither.
    """

    backend: str
    hardware: tuple[tuple[str, str], ...]
    software: tuple[tuple[str, str], ...]

    @classmethod
    def of(
        cls, backend: str, hardware: Mapping[str, object], software: Mapping[str, object]
    ) -> Self:
        return cls(backend, _pairs(hardware), _pairs(software))

    @property
    def hardware_key(self) -> str:
        return content_key([self.backend, dict(self.hardware)])[:16]

    @property
    def software_key(self) -> str:
        return content_key([self.backend, dict(self.software)])[:16]

    def to_json(self) -> dict[str, Any]:
        return {
            "backend": self.backend,
            "hardware": dict(self.hardware),
            "software": dict(self.software),
        }

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Self:
        return cls.of(document["backend"], document["hardware"], document["software"])


def _pairs(facts: Mapping[str, object]) -> tuple[tuple[str, str], ...]:
    return tuple(sorted((name, str(value)) for name, value in facts.items()))


@dataclass(frozen=True, slots=True)
class MeasurementPolicy(_Keyed):
    """How something is timed. Different policies answer different questions; never mixed.

    `threads` is what the user asks of the backend (its intra-op threads); 0 means the
    backend has no such notion. `frozen` names the frozen set in the training phase.
    """

    phase: Phase = "inference"
    context: Context = "isolated"
    cache: Cache = "hot"
    execution: str = "eager"
    batch: int = 1
    dtype: str = "float32"
    numeric_mode: str = "default"
    threads: int = 1
    frozen: str = ""


@dataclass(frozen=True, slots=True)
class Effort:
    """How hard to try; not part of any key, because a later run only adds samples.

    `interval`: half-width of the speedup's relative confidence interval that is enough.
    """

    interval: float = 0.02
    min_rounds: int = 10
    max_rounds: int = 40
    preparations: int = 2
    round_s: float = 0.012
    timeout_s: float = 120.0
    max_time_s: float | None = None


@dataclass(frozen=True, slots=True)
class Sample(_Jsonable):
    """One timing: a workload, in a round of a session, on a clock. `seconds` is for one
    execution (the elapsed time over `loops` executions, divided by `loops`)."""

    round: int
    workload_key: str
    clock: str
    seconds: float
    loops: int = 1


@dataclass(frozen=True, slots=True)
class Failure(_Jsonable):
    """Why a workload has no number: a record with a reason, never a big number."""

    workload_key: str
    stage: FailureStage
    reason: str


class Verdict(StrEnum):
    """What a speedup's interval says, d being the margin that is thought to matter."""

    FASTER = "FASTER"
    SLOWER = "SLOWER"
    SAME = "SAME"
    UNDECIDED = "UNDECIDED"


@dataclass(frozen=True, slots=True)
class PairSummary(_Jsonable):
    """One session's view of a candidate against the original (see `stats.summarize_pairs`).

    `log_ratio` estimates log(original / candidate), `saving_s` original - candidate; the
    `_var` fields are the variances of these estimates *within* the session.
    """

    rounds: int
    log_ratio: float
    log_ratio_var: float
    saving_s: float
    saving_var: float
    original_s: float
    candidate_s: float


@dataclass(frozen=True, slots=True)
class Comparison(_Jsonable):
    """A candidate against the original over all sessions: what a table's row is made of."""

    speedup: float
    speedup_low: float
    speedup_high: float
    saving_s: float
    saving_low_s: float
    saving_high_s: float
    original_latency_s: float
    latency_s: float
    sessions: int
    rounds: int


@dataclass(frozen=True, slots=True)
class Measurement:
    """What the store knows of one candidate on one device under one policy."""

    id: str
    spec: LayerSpec
    decomposition: Decomposition
    fingerprint: DeviceFingerprint
    policy: MeasurementPolicy
    summaries: tuple[PairSummary, ...]
    measured_at: str
    failure: Failure | None = None
    layers: tuple[str, ...] = field(default=())
