from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rankwise.errors import ModelError
from rankwise.models import batching
from rankwise.models.batching import batches, by_picture


@given(st.integers(1, 20), st.integers(1, 7))
def test_batches_give_every_picture_once(pictures, size):
    inputs = np.arange(pictures, dtype=np.float32)[:, None]
    seen = []
    for part, counted in batches(inputs, size):
        assert part.shape == (size, 1)
        seen += by_picture("y", part, size, counted)[:, 0].tolist()
    assert seen == list(range(pictures))


def test_outputs_without_their_batch():
    assert by_picture("y", np.zeros((5, 6)), 1, 1).shape == (1, 5, 6)
    with pytest.raises(ModelError, match="batch"):
        by_picture("y", np.zeros((5, 6)), 2, 2)


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_outputs_do_not_depend_on_how_many_threads_compute_them(workers, monkeypatch):
    monkeypatch.setattr(batching, "processors", lambda: workers)
    inputs = np.arange(11, dtype=np.float32)[:, None]
    found = batching.outputs_of(lambda part: {"y": part * 2}, inputs, 3)
    np.testing.assert_array_equal(found["y"], inputs * 2)


def test_nothing_to_run_on():
    with pytest.raises(ModelError, match="no inputs"):
        batching.outputs_of(lambda part: {"y": part}, np.zeros((0, 3)), 2)
