"""Whose times does a row give? Between fixed neighbours only the saving is the layer's own."""

from __future__ import annotations

from typing import get_args

import pytest

from rankwise.records import (
    Context,
    Decomposition,
    DeviceFingerprint,
    LayerSpec,
    Measurement,
    MeasurementPolicy,
    PairSummary,
)
from rankwise.search.table import TableRow, between_neighbours, speedup_table

REPEATABLE = LayerSpec("conv2d", 64, 64, (64, 8, 8))
OTHER_CHANNELS = LayerSpec("conv2d", 64, 32, (64, 8, 8))
OTHER_PICTURE = LayerSpec("conv2d", 64, 64, (64, 8, 8), stride=(2, 2))
WIDER_LINEAR = LayerSpec("linear", 64, 128, (64,))
SQUARE_LINEAR = LayerSpec("linear", 64, 64, (64,))


@pytest.mark.parametrize("context", get_args(Context))
@pytest.mark.parametrize(
    ("spec", "follows_itself"),
    [
        (REPEATABLE, True),
        (SQUARE_LINEAR, True),
        (OTHER_CHANNELS, False),
        (OTHER_PICTURE, False),
        (WIDER_LINEAR, False),
    ],
)
def test_only_a_layer_that_cannot_follow_itself_needs_neighbours(
    spec: LayerSpec, follows_itself: bool, context: Context
) -> None:
    policy = MeasurementPolicy(context=context)
    needed = context == "marginal" and not follows_itself
    assert between_neighbours(spec, policy) is needed
    assert row_of(spec, policy).own_times is not needed


def row_of(spec: LayerSpec, policy: MeasurementPolicy) -> TableRow:
    summary = PairSummary(10, 0.1, 1e-6, 1e-4, 1e-12, 1e-3, 9e-4)
    fingerprint = DeviceFingerprint.of("fake", {"chip": "a"}, {"runtime": "1"})
    given = Measurement("m", spec, Decomposition("svd", (8,)), fingerprint, policy, (summary,), "")
    (row,) = speedup_table([given], lambda _spec, _decomposition: (1, 1))
    return row
