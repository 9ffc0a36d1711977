"""Frozen value types. Numbers and names only: nothing here computes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, ClassVar, Literal, Self

from .content_keys import Jsonable, Keyed
from .content_keys import canonical_json as canonical_json
from .content_keys import content_key as content_key

Op = Literal[
    "conv1d",
    "conv2d",
    "conv3d",
    "conv_transpose1d",
    "conv_transpose2d",
    "conv_transpose3d",
    "linear",
]
Phase = Literal["inference", "training"]
Context = Literal["isolated", "marginal", "in_network"]
Cache = Literal["hot", "cold"]
FailureStage = Literal["prepare", "convert", "run", "timeout", "crash"]

LINEAR_AXES = 2  # of the kernel of ones that a linear layer has in keys since the first version


def element_bytes(dtype: str) -> int:
    """Bytes of one number: `float32` 4, `bfloat16` 2, `int8` 1. `ValueError` for no number."""
    bits = dtype.lstrip("abcdefghijklmnopqrstuvwxyz")
    if not bits.isdigit() or int(bits) % 8:
        raise ValueError(f"{dtype!r} is no type of whole bytes")
    return int(bits) // 8


@dataclass(frozen=True, slots=True)
class LayerSpec(Keyed):
    """A convolution or linear layer without its name, its weights and the batch.

    Shapes: `input_shape` is one example's, without the batch: (C_in, H, W) for `conv2d` (a
    position axis for each of the op's dimensions), (..., C_in) for `linear`. `kernel_size`,
    `stride` and `dilation` have a number for each dimension, `padding` is ONNX's order (all
    begins, then all ends; of a transposed convolution it is cut off its output), and
    `output_padding` (transposed ones only) is added at the end. What is left out is filled in.
    The weight of every convolution, transposed ones as well, is (out_channels, in_channels /
    groups, *kernel_size), of a linear layer (out_channels, in_channels).
    """

    LATER: ClassVar = ("output_padding",)
    op: Op
    in_channels: int
    out_channels: int
    input_shape: tuple[int, ...]
    kernel_size: tuple[int, ...] = ()
    stride: tuple[int, ...] = ()
    padding: tuple[int, ...] = ()
    dilation: tuple[int, ...] = ()
    groups: int = 1
    bias: bool = True
    dtype: str = "float32"
    output_padding: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        axes = self.dimensions or LINEAR_AXES
        usual = {"kernel_size": 1, "stride": 1, "dilation": 1, "padding": 0}
        if self.is_transposed:
            usual["output_padding"] = 0
        for name, value in usual.items():
            wanted = 2 * axes if name == "padding" else axes
            if not getattr(self, name):
                object.__setattr__(self, name, (value,) * wanted)
            if len(getattr(self, name)) != wanted:
                raise ValueError(f"{self.op} has {wanted} numbers as its {name}")

    @property
    def dimensions(self) -> int:
        """How many axes of positions its kernel has; 0 for a linear layer."""
        return 0 if self.op == "linear" else int(self.op[-2])

    @property
    def is_transposed(self) -> bool:
        """Whether every input position is spread over the output, instead of gathered for it."""
        return self.op.startswith("conv_transpose")

    @property
    def is_pointwise(self) -> bool:
        """Whether the layer sees one position at a time: a linear layer or a 1x1 kernel."""
        return set(self.kernel_size) == {1}

    @property
    def padding_by_axis(self) -> tuple[tuple[int, int], ...]:
        """(begin, end) of each axis of positions."""
        axes = self.dimensions
        return tuple(zip(self.padding[:axes], self.padding[axes:], strict=False))

    @property
    def output_shape(self) -> tuple[int, ...]:
        """One example's output: (C_out, H_out, W_out), or (..., C_out) for `linear`."""
        if self.op == "linear":
            return (*self.input_shape[:-1], self.out_channels)
        return (self.out_channels, *map(self._length, range(self.dimensions)))

    def _length(self, axis: int) -> int:
        size, stride = self.input_shape[1 + axis], self.stride[axis]
        reach = self.dilation[axis] * (self.kernel_size[axis] - 1)
        padded = sum(self.padding_by_axis[axis])
        if self.is_transposed:
            return (size - 1) * stride - padded + reach + self.output_padding[axis] + 1
        return (size + padded - reach - 1) // stride + 1

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
    def positions(self) -> int:
        """How often one example meets the whole kernel: output positions, input positions of a
        transposed convolution, or the rows of a linear layer."""
        if self.is_transposed:
            return math.prod(self.input_shape[1:])
        return math.prod(self.output_shape) // self.out_channels

    @property
    def macs(self) -> int:
        """Multiply-accumulates for one example (never doubled); the bias is not counted."""
        return math.prod(self.weight_shape) * self.positions


@dataclass(frozen=True, slots=True)
class Decomposition(Keyed):
    """A kind of low-rank decomposition and its ranks. The original is a value too. `precision`
    is `float32` for a layer that stays so among others in int8; empty: as the policy says."""

    LATER: ClassVar = ("precision",)
    kind: str = "original"
    ranks: tuple[int, ...] = ()
    groups: int = 1
    precision: str = ""

    @property
    def is_original(self) -> bool:
        """Is it the layer as it is, which all others are compared with?"""
        return not (self.has_factors or self.precision)

    @property
    def has_factors(self) -> bool:
        """Does a chain of several links take the layer's place?"""
        return self.kind != "original"

    def __str__(self) -> str:
        ranks, groups = "x".join(map(str, self.ranks)), f"g{self.groups}" * (self.groups > 1)
        return " ".join(filter(None, (self.kind, ranks, groups, self.precision)))


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
    """One named layer of a network. `reason` says why nothing applies to it (else empty). `shared`
    of its parameters are another's, too (tied weights): they stay when it is replaced. `calls` are
    the specs of several calls, whose costs add up; `spec` is the one of them with the most MACs.
    """

    name: str
    op: str
    spec: LayerSpec | None
    reason: str = ""
    calls: tuple[LayerSpec, ...] = ()
    shared: int = 0

    @property
    def every_call(self) -> tuple[LayerSpec, ...]:
        """The spec of each call; nothing for a layer without a spec."""
        return self.calls or (() if self.spec is None else (self.spec,))


@dataclass(frozen=True, slots=True)
class DeviceFingerprint(Keyed):
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
        facts = {"hardware": dict(self.hardware), "software": dict(self.software)}
        return {"backend": self.backend, **facts}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Self:
        return cls.of(document["backend"], document["hardware"], document["software"])


def _pairs(facts: Mapping[str, object]) -> tuple[tuple[str, str], ...]:
    return tuple(sorted((name, str(value)) for name, value in facts.items()))


@dataclass(frozen=True, slots=True)
class MeasurementPolicy(Keyed):
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

    `interval`: half-width of the speedup's relative confidence interval that is enough."""

    interval: float = 0.02
    min_rounds: int = 10
    max_rounds: int = 40
    preparations: int = 2
    round_s: float = 0.012
    timeout_s: float = 120.0
    max_time_s: float | None = None


@dataclass(frozen=True, slots=True)
class Sample(Jsonable):
    """One timing: a workload, in a round of a session, on a clock. `seconds` is for one
    execution (the elapsed time over `loops` executions, divided by `loops`)."""

    round: int
    workload_key: str
    clock: str
    seconds: float
    loops: int = 1


@dataclass(frozen=True, slots=True)
class Failure(Jsonable):
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
class PairSummary(Jsonable):
    """One session's view of a candidate against the original (see `stats.summarize_pairs`).

    `log_ratio` estimates log(original / candidate), `saving_s` original - candidate; the
    `_var` fields are the variances of these estimates *within* the session."""

    rounds: int
    log_ratio: float
    log_ratio_var: float
    saving_s: float
    saving_var: float
    original_s: float
    candidate_s: float


@dataclass(frozen=True, slots=True)
class Comparison(Jsonable):
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
    """What the store knows of one candidate on one device under one policy. `boards` says for each
    of the summaries which board of the device's kind it is of, None where nobody knows."""

    id: str
    spec: LayerSpec
    decomposition: Decomposition
    fingerprint: DeviceFingerprint
    policy: MeasurementPolicy
    summaries: tuple[PairSummary, ...]
    measured_at: str
    failure: Failure | None = None
    layers: tuple[str, ...] = field(default=())
    boards: tuple[str | None, ...] = ()
