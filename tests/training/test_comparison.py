"""How much of an error is left, with an interval."""

from __future__ import annotations

import numpy as np
import pytest

from rankwise.models.compared import Compared
from rankwise.models.fidelity import relative_error
from rankwise.models.network_error import NetworkError
from rankwise.training.comparison import error_ratio


def arrays(pictures=8, scale=0.5, seed=0):
    rng = np.random.default_rng(seed)
    reference = rng.standard_normal((pictures, 10)).astype(np.float32)
    noise = rng.standard_normal((pictures, 10)).astype(np.float32)
    other = rng.standard_normal((pictures, 10)).astype(np.float32)
    return reference, reference + noise, reference + np.float32(scale) * other


def errors(reference, *outputs):
    """Each of the outputs' errors, every row a picture."""
    whole = Compared.whole(["y"])
    return [NetworkError.of(whole, {"y": reference}, {"y": one}) for one in outputs]


def test_errors_are_the_relative_ones():
    reference, before, after = arrays()
    found = error_ratio(*errors(reference, before, after))
    assert found.before == pytest.approx(relative_error(reference, before))
    assert found.after == pytest.approx(relative_error(reference, after))
    assert found.ratio == pytest.approx(found.after / found.before)
    assert found.low < found.ratio < found.high


def test_nothing_left():
    reference, before, _ = arrays()
    assert error_ratio(*errors(reference, before, reference)).high == 0


def test_the_interval_holds_the_truth_as_often_as_it_says():
    """The truth here: errors of the same size, so a ratio of one half."""
    held = 0
    for seed in range(200):
        found = error_ratio(*errors(*arrays(7, 0.5, seed)))
        held += found.low <= 0.5 <= found.high
    assert held >= 180
