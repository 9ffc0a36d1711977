"""The per-layer speedup table."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from .base import Decomposition, Document, Failure, RowDevice, Strict


class Row(Strict):
    """One spec, candidate, device and policy. `layers` names all that share the spec. In the
    context `marginal`, a layer whose output has another shape than its input has a saving
    only: latencies and speedup are null. `network_error` is about what the candidate alone does to
    the network (of layers that share the row, to the one where it does most), as the latest search
    of a plan or a front has found it; null where it has not."""

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
    boards: int = 1
    """Boards of the device's kind that measured it: the interval knows how far they differ."""
    network_error: float | None = None

    @property
    def setting(self) -> tuple[object, ...]:
        """What only rows share that can be compared as they are: device and policy. It hashes and
        sorts."""
        device = self.device
        policy = tuple(sorted((name, str(value)) for name, value in self.policy.items()))
        return device.backend, device.hardware_key, device.software_key, policy


class OddBoard(Strict):
    """A board that differs from others of its kind: its latencies, or its speedups, by the median
    board's, over `specs` layers; the interval is 95% for all boards together. `board` is null for
    sessions that do not say theirs; `hosts` are the machines that it measured on."""

    board: str | None
    hosts: list[str]
    device: RowDevice
    policy: dict[str, Any]
    quantity: Literal["latency", "speedup"]
    ratio: float
    low: float
    high: float
    specs: int


class Table(Document):
    """`networks` are the sources of the networks whose layers the rows are of."""

    kind: Literal["rankwise.table"] = "rankwise.table"
    rows: list[Row]
    failures: list[Failure]
    networks: list[str] = Field(default_factory=list)
    odd_boards: list[OddBoard] = Field(default_factory=list)

    @property
    def headline(self) -> str:
        faster = sum(row.verdict == "FASTER" for row in self.rows)
        return f"{len(self.rows)} rows, {faster} FASTER"
