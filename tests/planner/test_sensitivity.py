"""Network error and the bound on it: what a few pictures say about as many others."""

import math

import numpy as np
import pytest

from rankwise.planner.known_errors import NetworkError
from rankwise.planner.sensitivity import CONFIDENCE, Inputs, Sensitivity, network_error
from rankwise.records import Decomposition

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


class Curves:
    """Stands in for an assembly: the layer error of rank r is 1 / r."""

    @staticmethod
    def estimated_error(_name, decomposition):
        return 1 / decomposition.ranks[0]


class Known:
    """Network errors that were measured: twice the layer error where it is small, less where it
    is large. Notes what was asked for."""

    def __init__(self):
        self.asked = []

    def plans(self):
        return []

    def get(self, decisions):
        (decomposition,) = decisions.values()
        self.asked.append(decomposition.ranks[0])
        error = 1 / decomposition.ranks[0]
        return NetworkError(2 * error * (1 - error), 0.0)


def svd(rank):
    return Decomposition("svd", (rank,))


@pytest.fixture
def sensitivity():
    inputs = Inputs("", 1, lambda: np.zeros((1, 1), np.float32))
    return Sensitivity(Curves(), inputs, Known())


def test_one_middle_rank_gives_the_factor_of_all(sensitivity):
    sensitivity.probe("layer", [svd(rank) for rank in (2, 4, 40)])
    assert sensitivity.known.asked == [4]
    assert sensitivity.modelled_sq("layer", svd(40)) ** 0.5 == pytest.approx(2 * 0.75 / 40)


def test_probed_where_a_plan_lies_the_model_is_exact_there(sensitivity):
    sensitivity.probe("layer", [svd(4)])
    assert sensitivity.probe_at({"layer": svd(40)})
    for rank in (4, 40):
        measured = sensitivity.known.get({"layer": svd(rank)}).value
        assert sensitivity.modelled_sq("layer", svd(rank)) ** 0.5 == pytest.approx(measured)
    between = sensitivity.modelled_sq("layer", svd(12)) ** 0.5 * 12
    assert 2 * 0.75 < between < 2 * (1 - 1 / 40)


def test_what_lies_near_is_not_measured_again(sensitivity):
    sensitivity.probe("layer", [svd(40)])
    assert sensitivity.is_probed("layer", svd(38))
    assert not sensitivity.is_probed("layer", svd(20))
    assert not sensitivity.probe_at({"layer": svd(38)})
    assert sensitivity.known.asked == [40]


def test_an_estimate_asks_only_for_what_is_known(sensitivity):
    sensitivity.probe("layer", [svd(4)])
    sensitivity.known.get = lambda _: None
    assert not sensitivity.probe_at({"layer": svd(40)}, known_only=True)
