"""Chains: shapes that follow, sums that add up, keys that stay."""

import json
from dataclasses import replace

import numpy as np
import pytest

from rankwise.errors import LayerError
from rankwise.ops.chain import Chain, random_weights
from rankwise.records import LayerSpec

DOWN = LayerSpec("conv2d", 8, 3, (8, 5, 6), bias=False)
UP = LayerSpec("conv2d", 3, 4, (3, 5, 6))
CHAIN = Chain((DOWN, UP))


def test_by_hand() -> None:
    assert (CHAIN.input_shape, CHAIN.output_shape) == ((8, 5, 6), (4, 5, 6))
    assert CHAIN.macs == 30 * (8 * 3 + 3 * 4)
    assert CHAIN.params == 8 * 3 + 3 * 4 + 4
    assert CHAIN.bytes_moved(2) == 4 * (2 * 30 * (8 + 3 + 3 + 4) + 40)


def test_links_have_to_follow() -> None:
    with pytest.raises(LayerError, match=r"\(3, 5, 6\) is followed by \(3, 5, 7\)"):
        Chain((DOWN, replace(UP, input_shape=(3, 5, 7))))
    with pytest.raises(LayerError, match=r"\(3, 5, 6\) is followed by \(3, 5, 5\)"):
        Chain((DOWN, replace(UP, input_shape=(3, 5, 5))))
    with pytest.raises(LayerError, match="at least one"):
        Chain(())


def test_survives_json() -> None:
    again = Chain.from_json(json.loads(json.dumps(CHAIN.to_json())))
    assert again == CHAIN
    assert again.key == CHAIN.key
    assert Chain((DOWN,)).key != CHAIN.key


def test_random_weights_fit_and_are_repeatable() -> None:
    first, second = random_weights(CHAIN, 1), random_weights(CHAIN, 1)
    for link, one, two in zip(CHAIN.links, first, second, strict=True):
        assert one.weight.shape == link.weight_shape
        assert one.weight.dtype == np.float32
        assert np.array_equal(one.weight, two.weight)
        assert (one.bias is not None) == link.bias
    assert not np.array_equal(first[0].weight, random_weights(CHAIN, 2)[0].weight)


def test_random_weights_keep_the_variance() -> None:
    """Or values grow or fade from link to link, until denormals are what is timed."""
    wide = Chain((LayerSpec("linear", 512, 512, (512,), bias=False),) * 8)
    values = np.random.default_rng(0).standard_normal((64, 512))
    for one in random_weights(wide):
        values = values @ one.weight.T
    assert 0.5 < values.std() < 2
