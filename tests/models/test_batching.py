from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rankwise.errors import ModelError
from rankwise.models.batching import batches, by_picture


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
