"""Network error and the bound on it: what a few pictures say about as many others."""

import math

import numpy as np
import pytest

from rankwise.workflow.sensitivity import CONFIDENCE, network_error

CROPS = 4


def outputs(rng, pictures, spread):
    """Reference and outputs of `CROPS` alike examples of each picture, whose errors differ
    from picture to picture by a log-normal factor."""
    reference = rng.normal(size=(pictures * CROPS, 50)).astype(np.float32)
    scale = np.repeat(np.exp(spread * rng.normal(size=pictures)), CROPS)[:, None]
    return reference, reference + 0.1 * scale * rng.normal(size=reference.shape).astype(np.float32)


def test_alike_pictures_need_no_margin():
    reference, found = outputs(np.random.default_rng(0), 8, 0.0)
    error = network_error(reference, found, 8)
    assert error.value == pytest.approx(0.1, rel=0.1)
    assert error.value < error.upper < 1.1 * error.value


def test_bound_holds_on_as_many_other_pictures():
    rng = np.random.default_rng(1)
    held = []
    for _ in range(400):
        seen = network_error(*outputs(rng, 12, 0.5), 12)
        other = network_error(*outputs(rng, 12, 0.5), 12)
        held.append(other.value <= seen.upper)
    # Point values would hold in a half of the cases.
    assert CONFIDENCE - 0.07 <= np.mean(held) <= 0.98


def test_crops_do_not_count_as_pictures():
    reference, found = outputs(np.random.default_rng(2), 6, 0.6)
    by_picture = network_error(reference, found, 6)
    by_crop = network_error(reference, found, 6 * CROPS)
    assert by_picture.value == by_crop.value
    assert by_picture.upper > by_crop.upper


def test_one_picture_and_no_error():
    reference, found = outputs(np.random.default_rng(3), 1, 0.0)
    error = network_error(reference, found, 1)
    assert error.upper == pytest.approx(error.value)
    assert network_error(reference, reference, 1).upper == 0


def test_not_finite():
    reference, found = outputs(np.random.default_rng(4), 2, 0.0)
    found[0, 0] = np.nan
    assert network_error(reference, found, 2).upper == math.inf
