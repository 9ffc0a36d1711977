"""Factor weights against the layer they replace, computed by an independent convolution."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from rankwise.lowrank import (
    KINDS,
    Moments,
    applicable_kinds,
    factor,
    factorizer,
    full_ranks,
    lower,
    moments_wanted,
    rank_step,
)
from rankwise.ops.chain import Chain, LinkWeights
from rankwise.records import ORIGINAL, Decomposition, LayerSpec

small = st.integers(1, 3)


@st.composite
def conv_specs(draw: st.DrawFn) -> LayerSpec:
    kernel = (draw(st.integers(1, 4)), draw(st.integers(1, 4)))
    groups = draw(st.sampled_from([1, 1, 2, 3]))
    return LayerSpec(
        op="conv2d",
        in_channels=(c_in := groups * draw(st.integers(1, 5 if groups == 1 else 3))),
        out_channels=groups * draw(st.integers(1, 12 // groups)),
        input_shape=(c_in, draw(st.integers(10, 13)), draw(st.integers(10, 13))),
        kernel_size=kernel,
        stride=(draw(small), draw(small)),
        padding=tuple(draw(st.integers(0, 2)) for _ in range(4)),  # type: ignore[arg-type]
        dilation=(draw(small), draw(small)),
        groups=groups,
        bias=draw(st.booleans()),
    )


@st.composite
def linear_specs(draw: st.DrawFn) -> LayerSpec:
    c_in = draw(st.integers(1, 9))
    lead = draw(st.lists(st.integers(1, 4), max_size=2))
    bias = draw(st.booleans())
    return LayerSpec("linear", c_in, draw(st.integers(1, 9)), (*lead, c_in), bias=bias)


specs = st.one_of(conv_specs(), linear_specs())


def every_full_rank(spec: LayerSpec) -> list[Decomposition]:
    """All that reproduces the layer; branched kinds in one, two and three branches."""
    kinds, _ = applicable_kinds(spec)
    return [
        ORIGINAL,
        *(
            Decomposition(kind, full_ranks(spec, kind, groups), groups)
            for kind in kinds
            for groups in ((1, 2, 3) if KINDS[kind].branch else (1,))
        ),
    ]


def random_layer(
    spec: LayerSpec, seed: int = 0
) -> tuple[NDArray[np.float64], NDArray[np.float64] | None, NDArray[np.float64]]:
    """Float64 weight, bias and a batch of two inputs."""
    rng = np.random.default_rng(seed)
    bias = rng.standard_normal(spec.out_channels) if spec.bias else None
    return rng.standard_normal(spec.weight_shape), bias, rng.standard_normal((2, *spec.input_shape))


def compute(chain: Chain, weights: tuple[LinkWeights, ...], inputs: NDArray[Any]) -> NDArray[Any]:
    """The chain by torch.nn.functional, in the inputs' dtype."""
    import torch
    from torch.nn import functional

    value = torch.from_numpy(inputs)
    for link, made in zip(chain.links, weights, strict=True):
        weight = torch.from_numpy(made.weight)
        bias = None if made.bias is None else torch.from_numpy(made.bias)
        if link.op == "linear":
            value = functional.linear(value, weight, bias)
            continue
        top, left, bottom, right = link.padding
        value = functional.pad(value, (left, right, top, bottom))
        value = functional.conv2d(value, weight, bias, link.stride, 0, link.dilation, link.groups)
    return value.numpy()


def original_output(spec: LayerSpec, seed: int = 0) -> NDArray[Any]:
    weight, bias, inputs = random_layer(spec, seed)
    return compute(Chain((spec,)), (LinkWeights(weight, bias),), inputs)


def true_error(
    spec: LayerSpec, weight: NDArray[np.float64], chain: Chain, made: tuple[LinkWeights, ...]
) -> float:
    """Relative error of the weight that the chain amounts to: its answers to unit impulses.

    An impulse in the middle of a picture that has room for the kernel, without stride, padding
    and dilation, gives one input channel's kernels, mirrored.
    """
    kh, kw = spec.kernel_size
    room = (spec.in_channels, 2 * kh - 1, 2 * kw - 1)
    impulses = np.zeros((spec.in_channels, *room))
    impulses[np.arange(spec.in_channels), np.arange(spec.in_channels), kh - 1, kw - 1] = 1
    if spec.op == "linear":
        impulses = np.eye(spec.in_channels)
    plain = [LinkWeights(link.weight) for link in made]
    links = [replace(one, stride=(1, 1), padding=(0,) * 4, dilation=(1, 1)) for one in chain.links]
    got = compute(Chain(_sized(links, impulses.shape[1:])), tuple(plain), impulses)
    whole = _sized(
        [replace(spec, stride=(1, 1), padding=(0,) * 4, dilation=(1, 1), bias=False)],
        impulses.shape[1:],
    )
    wanted = compute(Chain(whole), (LinkWeights(weight),), impulses)
    return float(np.linalg.norm(got - wanted) / np.linalg.norm(wanted))


def _sized(links: list[LayerSpec], shape: tuple[int, ...]) -> tuple[LayerSpec, ...]:
    """The links with the sizes that follow from an input of that shape."""
    made = []
    for link in links:
        made.append(replace(link, input_shape=shape, bias=False))
        shape = made[-1].output_shape
    return tuple(made)


def output_rows(spec: LayerSpec, outputs: NDArray[Any]) -> NDArray[Any]:
    """Output vectors (n, C_out) of a batch of outputs."""
    last = outputs if spec.op == "linear" else outputs.transpose(0, 2, 3, 1)
    return last.reshape(-1, spec.out_channels)


def patch_rows(spec: LayerSpec, inputs: NDArray[Any]) -> NDArray[Any]:
    """What the kernel sees at each output position, (n, C_in*kh*kw), by torch's unfold."""
    import torch
    from torch.nn import functional

    if spec.op == "linear":
        return inputs.reshape(-1, spec.in_channels)
    top, left, bottom, right = spec.padding
    padded = functional.pad(torch.from_numpy(inputs), (left, right, top, bottom))
    seen = functional.unfold(padded, spec.kernel_size, spec.dilation, 0, spec.stride)
    return seen.numpy().transpose(0, 2, 1).reshape(-1, seen.shape[1])


@given(specs, st.integers(0, 99))
@settings(max_examples=80)
def test_full_rank_reproduces_the_layer(spec: LayerSpec, seed: int) -> None:
    weight, bias, inputs = random_layer(spec, seed)
    expected = original_output(spec, seed)
    for wanted in every_full_rank(spec):
        got = compute(lower(spec, wanted), factor(spec, wanted, weight, bias), inputs)
        np.testing.assert_allclose(got, expected, rtol=1e-10, atol=1e-10, err_msg=str(wanted))


@given(specs, st.integers(0, 99), st.sampled_from([None, 0.0, 1.0]))
@settings(max_examples=60)
def test_full_rank_reproduces_the_layer_with_few_data(
    spec: LayerSpec, seed: int, shrinkage: float | None
) -> None:
    weight, bias, inputs = random_layer(spec, seed)
    expected = original_output(spec, seed)
    # fewer vectors than channels: the moments alone do not span the output
    rows = {"outputs": output_rows(spec, expected)[:3], "patches": patch_rows(spec, inputs)[:3]}
    kinds, _ = applicable_kinds(spec)
    for kind in (k for k in kinds if moments_wanted(spec, k)):
        wanted = Decomposition(kind, full_ranks(spec, kind))
        moments = Moments.from_outputs(rows[moments_wanted(spec, kind)])
        links = factor(spec, wanted, weight, bias, moments, shrinkage)
        got = compute(lower(spec, wanted), links, inputs)
        np.testing.assert_allclose(got, expected, rtol=1e-9, atol=1e-9, err_msg=str(wanted))


@given(specs, st.data())
@settings(max_examples=60)
def test_factors_have_the_shapes_of_the_chain(spec: LayerSpec, data: st.DataObject) -> None:
    weight, bias, _ = random_layer(spec)
    kinds, _ = applicable_kinds(spec)
    assume(kinds)
    kind = data.draw(st.sampled_from(kinds))
    groups = data.draw(st.sampled_from([1, 2, 3])) if KINDS[kind].branch else 1
    step = rank_step(spec, kind, groups)
    ranks = tuple(
        step * data.draw(st.integers(1, full // step)) for full in full_ranks(spec, kind, groups)
    )
    wanted = Decomposition(kind, ranks, groups)
    chain = lower(spec, wanted)
    made = factor(spec, wanted, weight, bias)
    assert chain.output_shape == spec.output_shape
    assert [w.weight.shape for w in made] == [link.weight_shape for link in chain.links]
    assert [w.bias is not None for w in made] == [link.bias for link in chain.links]
    assert [link.bias for link in chain.links] == [False] * (len(made) - 1) + [spec.bias]
    assert all(w.weight.flags.c_contiguous for w in made)
    again = factorizer(spec, kind, weight, bias, groups=groups)
    assert again.error(ranks) <= again.estimate(ranks) + 1e-7
    np.testing.assert_allclose(
        again.error(ranks), true_error(spec, weight, chain, made), rtol=1e-6, atol=1e-7
    )


def relative(got: NDArray[Any], want: NDArray[Any]) -> float:
    return float(np.linalg.norm(got - want) / max(np.linalg.norm(want), 1e-30))


@given(specs, st.integers(0, 99), st.data())
@settings(max_examples=60)
def test_torch_and_onnx_agree_with_the_layer_and_with_each_other(
    spec: LayerSpec, seed: int, data: st.DataObject
) -> None:
    """In float32, as they ship: at full rank the layer, at any rank the same thing."""
    import torch

    from rankwise.models.onnx_session import TensorSession
    from rankwise.ops.onnx_writer import OUTPUT, chain_model
    from rankwise.ops.torch_writer import to_torch

    weight, bias, inputs = random_layer(spec, seed)
    expected, given_inputs = original_output(spec, seed), inputs.astype(np.float32)
    exact = data.draw(st.sampled_from(every_full_rank(spec)))
    step = rank_step(spec, exact.kind, exact.groups)
    fewer = tuple(step * data.draw(st.integers(1, full // step)) for full in exact.ranks)
    for wanted in (exact, replace(exact, ranks=fewer)):
        chain = lower(spec, wanted)
        made = factor(spec, wanted, weight.astype(np.float32), bias)
        with torch.inference_mode():
            by_torch = to_torch(chain, made)(torch.from_numpy(given_inputs)).numpy()
        (by_onnx,) = TensorSession(chain_model(chain, made, 2), [OUTPUT]).run(given_inputs)
        assert relative(by_torch, by_onnx) < 1e-4, wanted
        if wanted == exact:
            assert relative(by_torch, expected) < 1e-4, wanted


def test_the_result_has_the_spec_s_dtype_or_float64_if_the_weight_has() -> None:
    spec = LayerSpec("linear", 6, 5, (6,), dtype="float16")
    weight, bias, _ = random_layer(spec)
    for given_dtype, wanted in (("float16", "float16"), ("float32", "float16"), ("float64",) * 2):
        made = factor(spec, Decomposition("svd", (2,)), weight.astype(given_dtype), bias)
        assert [str(w.weight.dtype) for w in made] == [wanted] * 2
        assert made[-1].bias is not None
        assert str(made[-1].bias.dtype) == wanted


@pytest.mark.parametrize("kind", ["svd", "channel_svd"])
def test_rank_r_is_as_good_as_any(kind: str) -> None:
    """Eckart and Young: no rank-r matrix is nearer than numpy's truncated SVD."""
    kernel = (1, 1) if kind == "svd" else (3, 3)
    for c_out in (7, 40):
        spec = LayerSpec("conv2d", 3, c_out, (3, 8, 8), kernel, bias=False)
        weight, _, _ = random_layer(spec)
        matrix = weight.reshape(c_out, -1)
        u, s, vt = np.linalg.svd(matrix, full_matrices=False)
        taken_apart = factorizer(spec, kind, weight)
        for rank in range(1, min(matrix.shape) + 1):
            first, last = taken_apart.at((rank,))
            got = last.weight.reshape(c_out, rank) @ first.weight.reshape(rank, -1)
            np.testing.assert_allclose(got, (u[:, :rank] * s[:rank]) @ vt[:rank], atol=1e-9)


def test_spatial_svd_is_the_best_of_its_form() -> None:
    spec = LayerSpec("conv2d", 4, 5, (4, 9, 9), (3, 2), bias=False)
    weight, _, _ = random_layer(spec)
    unfolded = weight.transpose(1, 2, 0, 3).reshape(4 * 3, 5 * 2)
    s = np.linalg.svd(unfolded, compute_uv=False)
    for rank in range(1, 11):
        first, second = factor(spec, Decomposition("spatial_svd", (rank,)), weight)
        rebuilt = np.einsum("rchx,orxw->ochw", first.weight, second.weight)
        lost = np.linalg.norm(weight - rebuilt)
        assert lost == pytest.approx(np.sqrt((s[rank:] ** 2).sum()), abs=1e-9)


def test_the_last_link_is_orthonormal_and_signs_are_fixed() -> None:
    spec = LayerSpec("linear", 20, 12, (20,), bias=False)
    weight, _, _ = random_layer(spec)
    for scale in (1.0, -1.0):
        last = factor(spec, Decomposition("svd", (6,)), scale * weight)[-1].weight
        np.testing.assert_allclose(last.T @ last, np.eye(6), atol=1e-12)
        assert (last[np.abs(last).argmax(axis=0), np.arange(6)] > 0).all()


def test_a_lower_rank_is_a_slice_of_a_higher_one() -> None:
    spec = LayerSpec("conv2d", 4, 6, (4, 9, 9), (3, 3))
    weight, bias, _ = random_layer(spec)
    taken_apart = factorizer(spec, "channel_svd", weight, bias)
    two, five = taken_apart.at((2,)), taken_apart.at((5,))
    np.testing.assert_array_equal(two[0].weight, five[0].weight[:2])
    np.testing.assert_array_equal(two[1].weight, five[1].weight[:, :2])


def test_what_is_handed_out_is_a_copy() -> None:
    spec = LayerSpec("linear", 4, 4, (4,), bias=False)
    weight, _, _ = random_layer(spec)
    taken_apart = factorizer(spec, "svd", weight)
    before = taken_apart.at((2,))[0].weight.copy()
    taken_apart.at((2,))[0].weight[:] = 0
    np.testing.assert_array_equal(taken_apart.at((2,))[0].weight, before)
    factor(spec, ORIGINAL, weight)[0].weight[:] = 0
    assert weight.any()


def test_the_original_is_itself() -> None:
    spec = LayerSpec("conv2d", 4, 6, (4, 9, 9), (3, 3), groups=2)
    weight, bias, _ = random_layer(spec)
    assert lower(spec, ORIGINAL) == Chain((spec,))
    (made,) = factor(spec, ORIGINAL, weight, bias)
    np.testing.assert_array_equal(made.weight, weight)
    assert bias is not None
    assert made.bias is not None
    np.testing.assert_array_equal(made.bias, bias)


def test_data_aware_factors_compute_the_projected_response() -> None:
    """y ~ U U^T (y - mean) + mean with a bias, U U^T y without one."""
    for has_bias in (True, False):
        spec = LayerSpec("conv2d", 3, 8, (3, 9, 9), (3, 3), padding=(1, 1, 1, 1), bias=has_bias)
        weight, bias, inputs = random_layer(spec)
        outputs = original_output(spec)
        moments = Moments.from_outputs(output_rows(spec, outputs))
        wanted = Decomposition("channel_svd", (3,))
        made = factor(spec, wanted, weight, bias, moments, shrinkage=0.0)
        got = compute(lower(spec, wanted), made, inputs)
        rows = output_rows(spec, outputs)
        mean = rows.mean(axis=0) if has_bias else np.zeros(8)
        u, s, vt = np.linalg.svd(rows - mean, full_matrices=False)
        expected = (u[:, :3] * s[:3]) @ vt[:3] + mean
        np.testing.assert_allclose(output_rows(spec, got), expected, atol=1e-9)
        assert (made[-1].bias is not None) == has_bias


def test_full_shrinkage_is_the_weight_only_subspace() -> None:
    spec = LayerSpec("linear", 9, 7, (9,), bias=False)
    weight, _, _ = random_layer(spec)
    moments = Moments.from_outputs(original_output(replace(spec)))
    plain = factor(spec, Decomposition("svd", (3,)), weight)
    shrunk = factor(spec, Decomposition("svd", (3,)), weight, None, moments, shrinkage=1.0)
    for a, b in zip(plain, shrunk, strict=True):
        np.testing.assert_allclose(a.weight, b.weight, atol=1e-9)
