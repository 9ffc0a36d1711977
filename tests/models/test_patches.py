"""Patches of convolutions of all sorts, against torch's own convolutions."""

from __future__ import annotations

import hypothesis.strategies as st
import numpy as np
import torch
from hypothesis import given

from rankwise.models.patches import patch_rows
from rankwise.ops.chain import Chain, LinkWeights
from rankwise.ops.torch_writer import to_torch
from rankwise.records import LayerSpec


@st.composite
def conv_specs(draw: st.DrawFn) -> LayerSpec:
    axes = draw(st.integers(1, 3))

    def numbers(least: int, most: int) -> tuple[int, ...]:
        return draw(st.tuples(*[st.integers(least, most)] * axes))

    transposed = draw(st.booleans())
    stride, dilation = numbers(1, 3), numbers(1, 3)
    added = numbers(0, 2) if transposed else ()
    steps = map(max, stride, dilation)
    return LayerSpec(
        f"conv_transpose{axes}d" if transposed else f"conv{axes}d",
        (c_in := draw(st.integers(1, 3))),
        2,
        (c_in, *(numbers(3, 4) if transposed else numbers(8, 9))),
        numbers(1, 3),
        stride,
        numbers(0, 1 if transposed else 2) + numbers(0, 1 if transposed else 2),
        dilation,
        output_padding=tuple(min(n, step - 1) for n, step in zip(added, steps, strict=False)),
    )


@given(conv_specs())
def test_patches_times_the_weight_are_the_outputs(spec: LayerSpec) -> None:
    rng = np.random.default_rng(0)
    inputs = rng.standard_normal((2, *spec.input_shape)).astype(np.float32)
    weight = rng.standard_normal(spec.weight_shape).astype(np.float32)
    bias = rng.standard_normal(2).astype(np.float32)
    with torch.no_grad():
        module = to_torch(Chain((spec,)), [LinkWeights(weight, bias)])
        expected = module(torch.from_numpy(inputs)).numpy()
    rows = patch_rows(spec, inputs, 10**6)
    found = (rows @ weight.reshape(2, -1).T + bias).reshape(2, *spec.output_shape[1:], 2)
    np.testing.assert_allclose(np.moveaxis(found, -1, 1), expected, atol=1e-4)


def test_patches_of_large_pictures_are_a_sample() -> None:
    spec = LayerSpec("conv2d", 1, 1, (1, 40, 40), (3, 3))
    rows = patch_rows(spec, np.arange(1600.0).reshape(1, 1, 40, 40), 196)
    assert rows.shape == (196, 9)
    assert len(np.unique(rows[:, 0])) == len(rows)
