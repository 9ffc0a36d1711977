from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rankwise.errors import ModelError
from rankwise.lowrank import OutputMoments
from rankwise.models.batching import MAX_POSITIONS, MomentSums, batches, by_picture


@given(st.integers(1, 20), st.integers(1, 7))
def test_batches_give_every_picture_once(pictures, size):
    inputs = np.arange(pictures, dtype=np.float32)[:, None]
    seen = []
    for part, counted in batches(inputs, size):
        assert part.shape == (size, 1)
        seen += by_picture(part, size, counted)[:, 0].tolist()
    assert seen == list(range(pictures))


def test_outputs_without_their_batch():
    assert by_picture(np.zeros((5, 6)), 1, 1).shape == (1, 5, 6)
    with pytest.raises(ModelError, match="batch"):
        by_picture(np.zeros((5, 6)), 2, 2)


@given(
    batch=st.integers(1, 3), pictures=st.integers(1, 7), size=st.integers(1, 6), last=st.booleans()
)
def test_sums_do_not_depend_on_batches(batch, pictures, size, last):
    outputs = np.random.default_rng(0).standard_normal((pictures, 3, size, size)).astype(np.float32)
    rows = np.moveaxis(outputs, 1, -1)
    sums = MomentSums()
    for part, counted in batches(rows if last else outputs, batch):
        sums.start_batch(batch, counted)
        sums.add("layer", part, channel_axis=-1 if last else 1)
    found, expected = sums.moments()["layer"], OutputMoments.from_outputs(rows.reshape(-1, 3))
    assert found.count == expected.count
    np.testing.assert_allclose(found.mean, expected.mean, atol=1e-6)
    np.testing.assert_allclose(found.second, expected.second, atol=1e-6)


def test_large_pictures_are_sampled_from_both_phases_of_a_pattern():
    pattern = np.indices((100, 100)).sum(0) % 2
    sums = MomentSums()
    sums.start_batch(2, 2)
    sums.add("layer", np.stack([pattern[None], pattern[None]]).astype(np.float32), channel_axis=1)
    found = sums.moments()["layer"]
    assert found.count == 2 * MAX_POSITIONS
    assert 0.4 < found.mean[0] < 0.6
