"""The speedup table: measurements in, one row for each candidate, device and policy out."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from operator import attrgetter
from typing import Any

from .. import stats
from ..errors import UsageError
from ..records import (
    Comparison,
    Decomposition,
    DeviceFingerprint,
    LayerSpec,
    Measurement,
    MeasurementPolicy,
    Verdict,
)

Costs = Callable[[LayerSpec, Decomposition], tuple[int, int]]
"""(multiply-accumulates for one example, parameters) of a layer computed one way."""


@dataclass(frozen=True, slots=True)
class TableRow:
    """One spec, candidate, device and policy. `layer` is the first of `layers`."""

    layer: str
    layers: tuple[str, ...]
    op: str
    spec: LayerSpec
    spec_key: str
    count: int
    decomposition: Decomposition
    backend: str
    hardware_key: str
    software_key: str
    policy: MeasurementPolicy
    latency_s: float
    original_latency_s: float
    saving_s: float
    saving_low_s: float
    saving_high_s: float
    speedup: float
    speedup_low: float
    speedup_high: float
    verdict: Verdict
    macs: int
    original_macs: int
    params: int
    measured_at: str
    stale: bool
    measurement_id: str
    boards: int = 1

    @property
    def own_times(self) -> bool:
        """Are latency and speedup the layer's own? Between fixed neighbours only the saving
        is; latency and speedup are of the three together, the ratio nearer to 1."""
        return not between_neighbours(self.spec, self.policy)


def between_neighbours(spec: LayerSpec, policy: MeasurementPolicy) -> bool:
    """Was such a layer timed between neighbours, because it cannot follow itself?"""
    return policy.context == "marginal" and spec.input_shape != spec.output_shape


@dataclass(frozen=True, slots=True)
class FailedRow:
    """A candidate that has no number, and why."""

    layer: str
    layers: tuple[str, ...]
    spec: LayerSpec
    spec_key: str
    decomposition: Decomposition
    backend: str
    hardware_key: str
    software_key: str
    policy: MeasurementPolicy
    stage: str
    reason: str
    measurement_id: str


_COMPARED = (
    *("latency_s", "original_latency_s", "saving_s", "saving_low_s", "saving_high_s"),
    *("speedup", "speedup_low", "speedup_high"),
)
"""What a row takes from its comparison as it is."""
_compared = attrgetter(*_COMPARED)


def speedup_table(
    measurements: Sequence[Measurement], costs: Costs, *, margin: float = 0.01
) -> list[TableRow]:
    """A row for each measurement that has sessions, in the order given.

    `margin` is the relative speed difference that matters. A row is stale where its hardware was
    measured with another software since.
    """
    return [TableRow(**values) for values in derived(measurements, costs, margin=margin)]


def derived(
    measurements: Sequence[Measurement], costs: Costs, *, margin: float = 0.01
) -> Iterator[dict[str, Any]]:
    """Yield the fields of each row of `speedup_table` by name, for whoever makes rows of another
    class of them: stores answer with tens of thousands."""
    shared = _Shared()
    cost_of = cache(costs)
    newest = _newest_software(measurements, shared)
    timed = [measurement for measurement in measurements if measurement.summaries]
    boards = [m.boards or (None,) * len(m.summaries) for m in timed]
    comparisons = stats.combine_many([m.summaries for m in timed], boards=boards)
    for measurement, comparison in zip(timed, comparisons, strict=True):
        values, spec = shared.fields(measurement), measurement.spec
        values.update(zip(_COMPARED, _compared(comparison), strict=True))
        values["op"] = spec.op
        values["count"] = len(measurement.layers)
        values["verdict"] = _verdict(measurement, comparison, margin)
        values["macs"], values["params"] = cost_of(spec, measurement.decomposition)
        values["original_macs"] = shared.macs(spec)
        values["measured_at"] = measurement.measured_at
        values["boards"] = len(set(measurement.boards)) or 1
        values["stale"] = values["software_key"] != newest[values["hardware_key"]]
        yield values


def _verdict(measurement: Measurement, comparison: Comparison, margin: float) -> Verdict:
    """Between neighbours the ratio is nearer to 1 than the layer's own: faster is faster, but
    nobody knows whether the same is the same."""
    verdict = stats.verdict(comparison.speedup_low, comparison.speedup_high, margin)
    squeezed = between_neighbours(measurement.spec, measurement.policy)
    return Verdict.UNDECIDED if squeezed and verdict is Verdict.SAME else verdict


def failed_rows(measurements: Iterable[Measurement]) -> list[FailedRow]:
    """A row for each measurement that ended in a failure, in the order given."""
    shared = _Shared()
    return [
        FailedRow(**shared.fields(one), stage=one.failure.stage, reason=one.failure.reason)
        for one in measurements
        if one.failure is not None
    ]


class _Shared:
    """What rows of both kinds say. Keys are hashed once for each spec and device, not once per
    row."""

    def __init__(self) -> None:
        self._spec_key = cache(lambda spec: spec.key)
        self.macs = cache(lambda spec: spec.macs)
        self.device = cache(_device)

    def fields(self, measurement: Measurement) -> dict[str, Any]:
        return {
            **self.device(measurement.fingerprint),
            "layer": measurement.layers[0] if measurement.layers else "",
            "layers": measurement.layers,
            "spec": measurement.spec,
            "spec_key": self._spec_key(measurement.spec),
            "decomposition": measurement.decomposition,
            "policy": measurement.policy,
            "measurement_id": measurement.id,
        }


def _device(fingerprint: DeviceFingerprint) -> dict[str, str]:
    return {
        "backend": fingerprint.backend,
        "hardware_key": fingerprint.hardware_key,
        "software_key": fingerprint.software_key,
    }


def _newest_software(measurements: Iterable[Measurement], shared: _Shared) -> dict[str, str]:
    """hardware_key -> the software key of its latest measurement."""
    newest: dict[str, tuple[str, str]] = {}
    for measurement in measurements:
        device = shared.device(measurement.fingerprint)
        seen = (measurement.measured_at, device["software_key"])
        if measurement.summaries and seen > newest.get(device["hardware_key"], ("", "")):
            newest[device["hardware_key"]] = seen
    return {hardware: software for hardware, (_, software) in newest.items()}


class SpeedupTable(Mapping[tuple[str, Decomposition], TableRow]):
    """(spec key, decomposition) -> row, for one device and one policy.

    Where a candidate was measured under several software versions, the row that is not stale
    stands, else the newest. Rows of two devices or policies raise `UsageError`.
    """

    def __init__(self, rows: Iterable[TableRow]) -> None:
        ordered = sorted(rows, key=lambda row: (not row.stale, row.measured_at))
        _require_comparable(ordered)
        self._rows = {(row.spec_key, row.decomposition): row for row in ordered}
        self._by_spec: dict[str, list[TableRow]] = {}
        for row in self._rows.values():
            self._by_spec.setdefault(row.spec_key, []).append(row)

    def __getitem__(self, key: tuple[str, Decomposition]) -> TableRow:
        return self._rows[key]

    def __iter__(self) -> Iterator[tuple[str, Decomposition]]:
        return iter(self._rows)

    def __len__(self) -> int:
        return len(self._rows)

    def rows(self, spec_key: str) -> tuple[TableRow, ...]:
        """The rows of one spec, by kind, then by parameters."""
        rows = self._by_spec.get(spec_key, [])
        return tuple(sorted(rows, key=lambda row: (row.decomposition.kind, row.params)))


def _require_comparable(rows: Sequence[TableRow]) -> None:
    if len({row.hardware_key for row in rows}) > 1:
        raise UsageError("These rows come from several devices: choose one device.")
    if len({row.policy for row in rows}) > 1:
        raise UsageError("These rows were measured in several ways: choose one policy.")
