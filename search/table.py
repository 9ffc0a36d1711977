"""The speedup table: measurements in, one row for each candidate, device and policy out."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

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


@dataclass(frozen=True, slots=True)
class _Device:
    """A fingerprint's keys: hashing its facts once per device, not once per row."""

    backend: str
    hardware_key: str
    software_key: str

    @classmethod
    def of(cls, fingerprint: DeviceFingerprint) -> _Device:
        return cls(fingerprint.backend, fingerprint.hardware_key, fingerprint.software_key)


def speedup_table(
    measurements: Sequence[Measurement],
    costs: Costs,
    *,
    confidence: float = 0.95,
    margin: float = 0.01,
    current: Collection[DeviceFingerprint] | None = None,
) -> list[TableRow]:
    """A row for each measurement that has sessions, in the order given.

    `confidence` is of the intervals, `margin` the relative speed difference that matters.
    A row is stale where its hardware is among the `current` devices with another software;
    hardware that is not among them (or all of it, without `current`) is held against the
    newest software it was measured with.
    """
    device_of = cache(_Device.of)
    cost_of = cache(costs)
    key_of = cache(lambda spec: spec.key)
    fresh = _fresh_software(measurements, current or (), device_of)
    timed = [measurement for measurement in measurements if measurement.summaries]
    comparisons = stats.combine_many([m.summaries for m in timed], confidence)
    rows = []
    for measurement, comparison in zip(timed, comparisons, strict=True):
        device = device_of(measurement.fingerprint)
        rows.append(
            _row(
                measurement,
                comparison,
                device,
                spec_key=key_of(measurement.spec),
                costs=cost_of(measurement.spec, measurement.decomposition),
                verdict=_verdict(measurement, comparison, margin),
                stale=device.software_key not in fresh[device.hardware_key],
            )
        )
    return rows


def _verdict(measurement: Measurement, comparison: Comparison, margin: float) -> Verdict:
    """Between neighbours the ratio is nearer to 1 than the layer's own: faster is faster, but
    nobody knows whether the same is the same."""
    found = stats.verdict(comparison.speedup_low, comparison.speedup_high, margin)
    squeezed = between_neighbours(measurement.spec, measurement.policy)
    return Verdict.UNDECIDED if squeezed and found is Verdict.SAME else found


def failed_rows(measurements: Iterable[Measurement]) -> list[FailedRow]:
    """Those measurements that ended in a failure, in the order given."""
    device_of = cache(_Device.of)
    return [
        _failed_row(measurement, device_of(measurement.fingerprint))
        for measurement in measurements
        if measurement.failure is not None
    ]


def _fresh_software(
    measurements: Iterable[Measurement],
    current: Collection[DeviceFingerprint],
    device_of: Callable[[DeviceFingerprint], _Device],
) -> dict[str, set[str]]:
    """hardware_key -> the software keys whose rows are not stale."""
    newest: dict[str, tuple[str, str]] = {}
    for measurement in measurements:
        device = device_of(measurement.fingerprint)
        seen = (measurement.measured_at, device.software_key)
        if measurement.summaries and seen > newest.get(device.hardware_key, ("", "")):
            newest[device.hardware_key] = seen
    fresh = {hardware: {software} for hardware, (_, software) in newest.items()}
    for hardware in {fingerprint.hardware_key for fingerprint in current}:
        fresh[hardware] = {f.software_key for f in current if f.hardware_key == hardware}
    return fresh


def _row(
    measurement: Measurement,
    comparison: Comparison,
    device: _Device,
    *,
    spec_key: str,
    costs: tuple[int, int],
    verdict: Verdict,
    stale: bool,
) -> TableRow:
    # One field a line: it is a copy, and the order is the contract's.
    return TableRow(
        layer=measurement.layers[0] if measurement.layers else "",
        layers=measurement.layers,
        op=measurement.spec.op,
        spec=measurement.spec,
        spec_key=spec_key,
        count=len(measurement.layers),
        decomposition=measurement.decomposition,
        backend=device.backend,
        hardware_key=device.hardware_key,
        software_key=device.software_key,
        policy=measurement.policy,
        latency_s=comparison.latency_s,
        original_latency_s=comparison.original_latency_s,
        saving_s=comparison.saving_s,
        saving_low_s=comparison.saving_low_s,
        saving_high_s=comparison.saving_high_s,
        speedup=comparison.speedup,
        speedup_low=comparison.speedup_low,
        speedup_high=comparison.speedup_high,
        verdict=verdict,
        macs=costs[0],
        original_macs=measurement.spec.macs,
        params=costs[1],
        measured_at=measurement.measured_at,
        stale=stale,
        measurement_id=measurement.id,
    )


def _failed_row(measurement: Measurement, device: _Device) -> FailedRow:
    assert measurement.failure is not None
    return FailedRow(
        layer=measurement.layers[0] if measurement.layers else "",
        layers=measurement.layers,
        spec=measurement.spec,
        spec_key=measurement.spec.key,
        decomposition=measurement.decomposition,
        backend=device.backend,
        hardware_key=device.hardware_key,
        software_key=device.software_key,
        policy=measurement.policy,
        stage=measurement.failure.stage,
        reason=measurement.failure.reason,
        measurement_id=measurement.id,
    )


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
