"""Changes of one layer: by its weight and by its outputs they have the same products."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rankwise.factors.layer_changes import OutputChanges, WeightChanges, by_weight, bytes_held
from rankwise.lowrank import applicable_kinds, full_ranks, lower
from rankwise.ops.chain import Chain, random_weights
from rankwise.ops.torch_writer import to_torch
from rankwise.records import Decomposition, LayerSpec


@st.composite
def specs(draw):
    small, bias = st.integers(1, 3), draw(st.booleans())
    if draw(st.booleans()):
        positions = draw(st.sampled_from([(9,), (3, 4)]))
        return LayerSpec("linear", 5, 6, (*positions, 5), bias=bias)
    size = (draw(st.integers(9, 12)), draw(st.integers(9, 12)))
    padding = tuple(draw(st.integers(0, 2)) for _ in range(4))
    kernel, stride, dilation = ((draw(small), draw(small)) for _ in range(3))
    return LayerSpec(
        "conv2d", 4, 6, (4, *size), kernel, stride, padding, dilation, draw(small) % 2 + 1, bias
    )


def layer_of(spec: LayerSpec):
    one = random_weights(Chain((spec,)), seed=5)[0]
    return one.weight, one.bias


@given(specs(), st.data())
def test_the_two_ways_agree(spec, data):
    kinds = applicable_kinds(spec)[0]
    if not kinds:
        return
    kind = data.draw(st.sampled_from(kinds))
    chain = lower(spec, Decomposition(kind, full_ranks(spec, kind)))
    if not by_weight(spec, chain):
        return
    replacements = [(chain, random_weights(chain, seed)) for seed in (0, 1)]
    rng = np.random.default_rng(0)
    inputs, gradient = (
        torch.from_numpy(rng.standard_normal((2, *shape)).astype(np.float32))
        for shape in (spec.input_shape, spec.output_shape)
    )
    outputs = to_torch(Chain((spec,)), random_weights(Chain((spec,)), seed=5))(inputs).detach()
    changes = (
        WeightChanges.of(spec, layer_of(spec), replacements),
        OutputChanges.of(replacements),
    )
    by_weights, by_outputs = (one.at(inputs, outputs)(gradient) for one in changes)
    assert by_weights.shape == by_outputs.shape == (2,)
    torch.testing.assert_close(by_weights, by_outputs, rtol=1e-3, atol=1e-2)


def conv(size: int, groups: int = 1) -> LayerSpec:
    return LayerSpec(
        "conv2d", 64, 64, (64, size, size), (3, 3), padding=(1, 1, 1, 1), groups=groups
    )


@pytest.mark.parametrize(
    ("spec", "kind", "expected"),
    [
        (conv(14), "channel_svd", True),
        (conv(14), "spatial_svd", True),
        (conv(14), "tucker2", True),
        (conv(14), "cp", False),  # its links are grouped
        (conv(14, groups=2), "channel_svd", False),
        (conv(2), "channel_svd", False),  # few positions
        (LayerSpec("linear", 64, 64, (64,)), "svd", False),
        (LayerSpec("linear", 64, 64, (50, 64)), "svd", True),
    ],
)
def test_what_is_seen_as_a_change_of_the_weight(spec, kind, expected):
    chain = lower(spec, Decomposition(kind, full_ranks(spec, kind)))
    assert by_weight(spec, chain) == expected
    by_output = 4 * (chain.params + np.prod(spec.output_shape))
    assert bytes_held(spec, chain) == (4 * np.prod(spec.weight_shape) if expected else by_output)


def test_a_bias_before_the_last_link_is_no_change_of_the_weight():
    """Zeros that pad what it was added to are no zeros of the layer's."""
    first = LayerSpec("conv2d", 4, 2, (4, 9, 9), bias=True)
    last = LayerSpec("conv2d", 2, 4, (2, 9, 9), (3, 3), padding=(1, 1, 1, 1))
    spec = LayerSpec("conv2d", 4, 4, (4, 9, 9), (3, 3), padding=(1, 1, 1, 1))
    assert not by_weight(spec, Chain((first, last)))
    assert by_weight(spec, Chain((replace(first, bias=False), last)))
    assert not by_weight(spec, Chain((replace(spec, bias=False), spec)))
