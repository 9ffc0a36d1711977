"""Moments of what layers see and compute, against NumPy over all of it at once."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rankwise.lowrank import Moments
from rankwise.models import moment_sums
from rankwise.models.batching import batches
from rankwise.models.moment_sums import MAX_POSITIONS, MomentSums, portions
from rankwise.records import LayerSpec


def conv(size: int, channels: int = 3) -> LayerSpec:
    return LayerSpec("conv2d", channels, channels, (channels, size, size))


def add_outputs(sums: MomentSums, batch: int, counted: int, outputs: np.ndarray) -> None:
    rows = sums.batch(batch, counted)
    rows.add_output("layer", outputs)
    sums.add(rows)


@given(
    batch=st.integers(1, 3), pictures=st.integers(1, 7), size=st.integers(1, 6), last=st.booleans()
)
def test_sums_do_not_depend_on_batches(batch, pictures, size, last):
    outputs = np.random.default_rng(0).standard_normal((pictures, 3, size, size)).astype(np.float32)
    rows = np.moveaxis(outputs, 1, -1)
    spec = LayerSpec("linear", 3, 3, (size, size, 3)) if last else conv(size)
    sums = MomentSums({"layer": spec}, [("layer", "outputs")])
    for part, counted in batches(rows if last else outputs, batch):
        add_outputs(sums, batch, counted, part)
    found = sums.moments()["layer", "outputs"]
    expected = Moments.from_outputs(rows.reshape(-1, 3))
    assert found.count == expected.count
    np.testing.assert_allclose(found.mean, expected.mean, atol=1e-6)
    np.testing.assert_allclose(found.second, expected.second, atol=1e-6)


def test_large_pictures_are_sampled_from_both_phases_of_a_pattern():
    pattern = np.indices((100, 100)).sum(0) % 2
    sums = MomentSums({"layer": conv(100, 1)}, [("layer", "outputs")])
    add_outputs(sums, 2, 2, np.stack([pattern[None], pattern[None]]).astype(np.float32))
    found = sums.moments()["layer", "outputs"]
    assert found.count == 2 * MAX_POSITIONS["outputs"]
    assert 0.4 < found.mean[0] < 0.6


def test_sums_that_do_not_fit_take_another_pass(monkeypatch):
    specs = {name: conv(4, 16) for name in "abc"}
    wanted = {name: ["outputs", "patches"] for name in specs}
    assert len(portions(specs, wanted)) == 1
    monkeypatch.setattr(moment_sums, "MAX_BYTES", 4 * 8 * 16**2)
    found = portions(specs, wanted)
    assert [len(portion) for portion in found] == [4, 2]
    assert [*itertools.chain(*found)] == [(n, s) for n in "abc" for s in ("outputs", "patches")]
    monkeypatch.setattr(moment_sums, "MAX_BYTES", 1)
    assert [len(portion) for portion in portions(specs, wanted)] == [1] * 6


def test_the_sum_of_many_blocks_is_exact_enough():
    """Blocks are summed in float32, the blocks' sums in float64."""
    rng = np.random.default_rng(0)
    sums = MomentSums({"layer": conv(1, 8)}, [("layer", "outputs")])
    rows = rng.standard_normal((20_000, 8)).astype(np.float32) + 10
    for part in np.split(rows, 40):
        add_outputs(sums, len(part), len(part), part[:, :, None, None])
    found = sums.moments()["layer", "outputs"]
    exact = rows.astype(np.float64)
    np.testing.assert_allclose(found.second, exact.T @ exact / len(rows), rtol=1e-5)
    assert found.count == len(rows)


def test_nothing_wanted_needs_no_pass():
    assert portions({}, {}) == []
    assert portions({"a": conv(4)}, {"a": []}) == []
    with pytest.raises(KeyError):
        portions({}, {"a": ["outputs"]})
