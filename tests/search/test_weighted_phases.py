"""Rows of two phases as one: savings by weight, and never a row that only one phase has."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rankwise import stats
from rankwise.records import Decomposition, LayerSpec, MeasurementPolicy, Verdict
from rankwise.search.table import TableRow
from rankwise.search.weighted_phases import weighed_rows

SPEC = LayerSpec("conv2d", 8, 8, (8, 4, 4))


def row(original: float, latency: float, half: float = 0.0, ranks=(4,), **more) -> TableRow:
    saving = original - latency
    return TableRow(
        **{
            "layer": "a", "layers": ("a",), "op": "conv2d", "spec": SPEC, "spec_key": "k",
            "count": 1, "decomposition": Decomposition("svd", ranks), "backend": "fake",
            "hardware_key": "h", "software_key": "s", "policy": MeasurementPolicy(),
            "latency_s": latency, "original_latency_s": original, "saving_s": saving,
            "saving_low_s": saving - half, "saving_high_s": saving + half,
            "speedup": original / latency, "speedup_low": 1.0, "speedup_high": 2.0,
            "verdict": Verdict.FASTER, "macs": 1, "original_macs": 2, "params": 1,
            "measured_at": "", "stale": False, "measurement_id": "i", **more,
        }
    )  # fmt: skip


def test_each_phase_counts_as_its_weight_says():
    """Inference saves 20%, training steps (three times as long) save 50%."""
    (found,) = weighed_rows([row(1.0, 0.8)], [row(3.0, 1.5)], 0.25)
    assert found.original_latency_s == pytest.approx(1.0)
    assert found.saving_s == pytest.approx(0.75 * 0.2 + 0.25 * 0.5)
    assert found.speedup == pytest.approx(1 / (1 - 0.275))
    assert found.measurement_id == "i+i"


def test_only_what_both_phases_have():
    found = weighed_rows([row(1, 0.5), row(1, 0.6, ranks=(8,))], [row(1, 0.5, ranks=(8,))], 0.5)
    assert [one.decomposition.ranks for one in found] == [(8,)]
    assert weighed_rows([row(1, 0.5)], [], 0.5) == []


def test_a_loss_in_one_phase_can_outweigh_the_gain_in_the_other():
    (found,) = weighed_rows([row(1.0, 0.9)], [row(1.0, 1.5)], 0.5)
    assert found.verdict is Verdict.SLOWER


@given(
    st.floats(0.1, 10), st.floats(0.05, 10), st.floats(0.1, 10), st.floats(0.05, 10),
    st.floats(0.01, 0.99), st.floats(0, 0.5),
)  # fmt: skip
def test_intervals_hold_the_estimate_and_follow_the_rows(a, b, c, d, weight, half):
    (found,) = weighed_rows([row(a, b, half)], [row(c, d, half)], weight)
    assert found.speedup_low <= found.speedup <= found.speedup_high
    assert found.saving_low_s <= found.saving_s <= found.saving_high_s
    first, second = 1 - weight, weight * a / c
    assert found.saving_high_s - found.saving_s == pytest.approx(
        math.hypot(first * half, second * half), abs=1e-9
    )


def test_the_verdict_is_the_intervals():
    (found,) = weighed_rows([row(1, 0.5, 0.4)], [row(1, 0.5, 0.4)], 0.5)
    assert found.verdict is stats.verdict(found.speedup_low, found.speedup_high)
    assert replace(found, verdict=Verdict.SAME).verdict is Verdict.SAME


def test_the_speedup_s_interval_is_that_of_the_saving():
    (found,) = weighed_rows([row(1, 0.5, 0.1)], [row(1, 0.5, 0.1)], 0.5)
    half = math.hypot(0.05, 0.05)
    assert found.speedup_low == pytest.approx(1 / (0.5 + half))
    assert found.speedup_high == pytest.approx(1 / (0.5 - half))
