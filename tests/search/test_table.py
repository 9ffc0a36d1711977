"""The speedup table: numbers from stats, staleness, and one table for one device."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from rankwise import records, stats
from rankwise.errors import UsageError
from rankwise.records import Decomposition, DeviceFingerprint, LayerSpec, PairSummary
from rankwise.search.table import SpeedupTable, failed_rows, speedup_table

SPEC = LayerSpec("conv2d", 64, 32, (64, 8, 8))
SVD = Decomposition("svd", (16,))
OLD = DeviceFingerprint.of("fake", {"chip": "a"}, {"runtime": "1"})
NEW = DeviceFingerprint.of("fake", {"chip": "a"}, {"runtime": "2"})
OTHER = DeviceFingerprint.of("fake", {"chip": "b"}, {"runtime": "1"})


def summary(speedup: float = 2.0, original_s: float = 1e-3) -> PairSummary:
    saving = original_s - original_s / speedup
    return PairSummary(10, math.log(speedup), 1e-8, saving, 1e-16, original_s, original_s / speedup)


def measurement(**changes: object) -> records.Measurement:
    base = records.Measurement(
        id="m1",
        spec=SPEC,
        decomposition=SVD,
        fingerprint=NEW,
        policy=records.MeasurementPolicy(),
        summaries=(summary(), summary(2.01)),
        measured_at="2026-01-02T00:00:00+00:00",
        layers=("a", "b"),
    )
    return replace(base, **changes)  # type: ignore[arg-type]


def costs(_: LayerSpec, decomposition: Decomposition) -> tuple[int, int]:
    return 1000 + sum(decomposition.ranks), 100 + sum(decomposition.ranks)


def test_a_row_carries_its_measurement_and_its_comparison() -> None:
    given = measurement()
    (row,) = speedup_table([given], costs)
    comparison = stats.combine(given.summaries, 0.95)
    assert (row.layer, row.layers, row.count) == ("a", ("a", "b"), 2)
    assert (row.op, row.spec_key, row.measurement_id) == ("conv2d", SPEC.key, "m1")
    assert (row.macs, row.params, row.original_macs) == (1016, 116, SPEC.macs)
    for name in ("speedup", "speedup_low", "speedup_high", "saving_s", "latency_s"):
        assert getattr(row, name) == pytest.approx(getattr(comparison, name), rel=1e-9)
    assert row.verdict is records.Verdict.FASTER
    assert (row.backend, row.hardware_key, row.software_key) == (
        "fake",
        NEW.hardware_key,
        NEW.software_key,
    )


def test_the_margin_decides_the_verdict() -> None:
    (row,) = speedup_table([measurement()], costs, margin=2.0)
    assert row.verdict is records.Verdict.SAME


def test_failures_are_listed_and_have_no_row() -> None:
    failure = records.Failure("w", "run", "out of memory")
    failed = measurement(summaries=(), failure=failure)
    assert speedup_table([failed], costs) == []
    (row,) = failed_rows([measurement(), failed])
    assert (row.layer, row.stage, row.reason) == ("a", "run", "out of memory")


def test_a_measurement_without_layers_is_still_a_row() -> None:
    (row,) = speedup_table([measurement(layers=())], costs)
    assert (row.layer, row.layers, row.count) == ("", (), 0)


def test_older_software_on_the_same_hardware_is_stale() -> None:
    old = measurement(id="m0", fingerprint=OLD, measured_at="2026-01-01T00:00:00+00:00")
    other = measurement(id="m2", fingerprint=OTHER, measured_at="2025-01-01T00:00:00+00:00")
    rows = speedup_table([old, measurement(), other], costs)
    assert [row.stale for row in rows] == [True, False, False]


def test_each_distinct_cost_is_asked_once() -> None:
    asked = []

    def counting(spec: LayerSpec, decomposition: Decomposition) -> tuple[int, int]:
        asked.append(decomposition)
        return costs(spec, decomposition)

    speedup_table([measurement(id=str(i)) for i in range(50)], counting)
    assert asked == [SVD]


def test_the_table_prefers_rows_that_are_not_stale() -> None:
    other = measurement(id="m0", fingerprint=OLD, measured_at="2026-01-09T00:00:00+00:00")
    old, new = speedup_table([measurement(), other], costs)
    assert (old.stale, new.stale) == (True, False)
    table = SpeedupTable([replace(old, stale=False), replace(new, stale=True)])
    assert len(table) == 1
    assert table[SPEC.key, SVD].measurement_id == "m1"
    assert (SPEC.key, SVD) in table
    assert [row.measurement_id for row in table.rows(SPEC.key)] == ["m1"]
    assert table.rows("unknown") == ()


@pytest.mark.parametrize(
    "changes", [{"fingerprint": OTHER}, {"policy": records.MeasurementPolicy(threads=2)}]
)
def test_devices_and_policies_do_not_mix(changes: dict[str, object]) -> None:
    rows = speedup_table([measurement(), measurement(id="x", **changes)], costs)
    with pytest.raises(UsageError, match="choose one"):
        SpeedupTable(rows)
