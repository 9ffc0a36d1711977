"""Factors from both sides of a layer, of every kind: against outputs that are computed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from rankwise.errors import LayerError
from rankwise.lowrank import (
    KINDS,
    ErrorCurve,
    Factorizer,
    Moments,
    Shrinkage,
    factorizer,
    full_ranks,
    moments_wanted,
)
from rankwise.lowrank.output_error import effective_weight
from rankwise.lowrank.output_metric import OutputMetric
from rankwise.lowrank.two_sided import Layer, Sides
from rankwise.ops.chain import LinkWeights
from rankwise.records import LayerSpec

Rows = NDArray[np.float64]

LINEAR = LayerSpec("linear", 12, 9, (12,))
CONV = LayerSpec("conv2d", 4, 6, (4, 9, 9), (3, 3), padding=(1, 1, 1, 1))
SMALL = LayerSpec("conv2d", 3, 4, (3, 9, 9), (3, 2))
"""For cp, which iterates for long."""
CASES = [
    ("svd", LINEAR, 1),
    *((kind, CONV, 1) for kind in ("channel_svd", "input_svd", "spatial_svd", "tucker2")),
    ("cp", SMALL, 1),
    ("branched_tucker", CONV, 2),
]
NAMES = [kind for kind, _, _ in CASES]


def layer(spec: LayerSpec, seed: int = 0) -> tuple[Rows, Rows | None]:
    rng = np.random.default_rng(seed)
    bias = rng.standard_normal(spec.out_channels) if spec.bias else None
    return rng.standard_normal(spec.weight_shape), bias


def patches(spec: LayerSpec, count: int, seed: int, pace: float = 0.8) -> Rows:
    """Correlated rows, off zero, of falling importance, as a trained network's are."""
    size = int(np.prod(spec.weight_shape[1:]))
    mixing = np.random.default_rng(7).standard_normal((size, size)) * pace ** np.arange(size)
    rows = np.random.default_rng(seed).standard_normal((count, size))
    return rows @ mixing.T + np.linspace(-1, 1, size)


def metric(outputs: int, count: int, seed: int) -> Rows:
    """E[g g^T] over so many gradients, some outputs mattering far more than others."""
    mixing = np.random.default_rng(11).standard_normal((outputs, outputs))
    gradients = (
        np.random.default_rng(seed).standard_normal((count, outputs))
        @ (mixing * 0.5 ** np.arange(outputs)).T
    )
    return gradients.T @ gradients / count


def outputs_of(weight: Rows, bias: Rows | None, rows: Rows) -> Rows:
    plain: Rows = rows @ weight.reshape(len(weight), -1).T
    return plain if bias is None else plain + bias


def moments_of(spec: LayerSpec, kind: str, weight: Rows, bias: Rows | None, rows: Rows) -> Moments:
    of_outputs = moments_wanted(spec, kind) == "outputs"
    return Moments.from_outputs(outputs_of(weight, bias, rows) if of_outputs else rows)


def lost(
    weight: Rows, bias: Rows | None, links: tuple[LinkWeights, ...], rows: Rows, g: Rows
) -> float:
    """The relative error in the metric, of outputs that are computed."""
    wanted = outputs_of(weight, bias, rows)
    off = wanted - outputs_of(effective_weight([one.weight for one in links]), links[-1].bias, rows)
    whole = wanted if bias is None else wanted - wanted.mean(axis=0)
    return float(
        np.sqrt(np.einsum("ni,ij,nj->", off, g, off) / np.einsum("ni,ij,nj->", whole, g, whole))
    )


def ranks_of(made: Factorizer, share: float) -> tuple[int, ...]:
    step = made.kind.rank_step(made.spec)
    full = made.kind.full_ranks(made.spec)
    return tuple(max(1, round(share * limit / step)) * step for limit in full)


def root(g: Rows) -> Rows:
    values, vectors = np.linalg.eigh(g)
    return (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T


# Every kind


def chosen(
    kind: str, spec: LayerSpec, groups: int, seed: int, counts: tuple[int, int] = (300, 100)
) -> tuple[Factorizer, Rows, Rows | None, Moments, Rows, Rows, Rows]:
    """Made from one set of pictures, chosen by another; all that it takes to make it again."""
    weight, bias = layer(spec, seed)
    rows, others = patches(spec, counts[0], 2 * seed), patches(spec, 300, 2 * seed + 1)
    g, other_g = (metric(spec.out_channels, n, seed + 50) for n in (counts[1], 200))
    fit, held = (moments_of(spec, kind, weight, bias, one) for one in (rows, others))
    made = factorizer(
        spec, kind, weight, bias, fit, None, held, groups, outputs_metric=g, held_out_metric=other_g
    )
    return made, weight, bias, fit, g, others, other_g


@pytest.mark.parametrize(("kind", "spec", "groups"), CASES, ids=NAMES)
@pytest.mark.parametrize(
    ("counts", "has_bias"), [((300, 100), True), ((4, 2), False)], ids=["many", "few, without bias"]
)
def test_never_worse_than_one_side_or_none_on_held_out_pictures(
    kind: str, spec: LayerSpec, groups: int, counts: tuple[int, int], has_bias: bool
) -> None:
    """The error that is said is the one of computed outputs; the best of the three is taken, and
    the value that names it makes the same factors again."""
    spec = replace(spec, bias=has_bias)
    made, weight, bias, fit, g, others, other_g = chosen(kind, spec, groups, 3, counts)
    for share in (0.2, 0.5, 1.0):
        ranks = ranks_of(made, share)
        error = lost(weight, bias, made.at(ranks), others, other_g)
        assert made.error(ranks) == pytest.approx(error, rel=1e-5, abs=2e-6)
        ways = made.error_curve().ways
        assert [way.sides for way in ways] == [0, 1, 2]
        for way in ways:
            again = factorizer(
                spec, kind, weight, bias, fit, way, groups=groups, outputs_metric=g
            ).at(ranks)
            assert error <= lost(weight, bias, again, others, other_g) + 2e-6
            if way == made.shrinkage_at(ranks):
                for one, other in zip(made.at(ranks), again, strict=True):
                    np.testing.assert_array_equal(one.weight, other.weight)
                    if other.bias is not None:
                        np.testing.assert_array_equal(one.bias, other.bias)


@pytest.mark.parametrize(("kind", "spec", "groups"), CASES, ids=NAMES)
def test_both_sides_are_worth_it(kind: str, spec: LayerSpec, groups: int) -> None:
    """With enough pictures both sides win at half of full rank, by a good part."""
    made, weight, bias, fit, _, others, other_g = chosen(kind, spec, groups, 0)
    ranks = ranks_of(made, 0.35)
    found = made.shrinkage_at(ranks)
    assert found.sides == 2
    one = factorizer(spec, kind, weight, bias, fit, Shrinkage(found.inputs), groups=groups)
    assert made.error(ranks) < 0.9 * lost(weight, bias, one.at(ranks), others, other_g)


@pytest.mark.parametrize(("kind", "spec", "groups"), CASES, ids=NAMES)
@given(seed=st.integers(0, 99), inputs=st.sampled_from([0.0, 0.1, 1.0]), count=st.integers(1, 40))
@settings(max_examples=6, deadline=None)
def test_full_rank_is_the_layer(
    kind: str, spec: LayerSpec, groups: int, seed: int, inputs: float, count: int
) -> None:
    weight, bias = layer(spec, seed)
    fit = moments_of(spec, kind, weight, bias, patches(spec, count, seed))
    g = metric(spec.out_channels, count, seed)
    made = factorizer(
        spec, kind, weight, bias, fit, Shrinkage(inputs, 0.003), groups=groups, outputs_metric=g
    )
    links = made.at(full_ranks(spec, kind, groups))
    rebuilt = effective_weight([link.weight for link in links]).reshape(weight.shape)
    np.testing.assert_allclose(rebuilt, weight, atol=1e-7)
    np.testing.assert_allclose(links[-1].bias, bias, atol=1e-6)


@pytest.mark.parametrize(("kind", "spec", "groups"), CASES, ids=NAMES)
def test_a_fully_shrunk_metric_is_no_metric(kind: str, spec: LayerSpec, groups: int) -> None:
    weight, bias = layer(spec)
    fit, g = (
        moments_of(spec, kind, weight, bias, patches(spec, 200, 1)),
        metric(spec.out_channels, 9, 2),
    )
    both = factorizer(
        spec, kind, weight, bias, fit, Shrinkage(0.1, 1.0), groups=groups, outputs_metric=g
    )
    one = factorizer(spec, kind, weight, bias, fit, 0.1, groups=groups)
    ranks = ranks_of(one, 0.5)
    for ours, other in zip(both.at(ranks), one.at(ranks), strict=True):
        np.testing.assert_allclose(ours.weight, other.weight, atol=1e-7)


@pytest.mark.parametrize(("kind", "spec", "groups"), CASES, ids=NAMES)
def test_the_bias_keeps_the_mean(kind: str, spec: LayerSpec, groups: int) -> None:
    weight, bias = layer(spec)
    rows = patches(spec, 200, 1)
    fit, g = moments_of(spec, kind, weight, bias, rows), metric(spec.out_channels, 9, 2)
    made = factorizer(
        spec, kind, weight, bias, fit, Shrinkage(0.1, 0.03), groups=groups, outputs_metric=g
    )
    links = made.at(ranks_of(made, 0.3))
    got = outputs_of(effective_weight([link.weight for link in links]), links[-1].bias, rows)
    np.testing.assert_allclose(
        got.mean(axis=0), outputs_of(weight, bias, rows).mean(axis=0), atol=1e-8
    )


@pytest.mark.parametrize(("kind", "spec", "groups"), CASES, ids=NAMES)
def test_the_curve_holds_the_estimates_and_which_way_is_best(
    kind: str, spec: LayerSpec, groups: int
) -> None:
    made = chosen(kind, spec, groups, 1)[0]
    curve = made.error_curve()
    for point in list(np.ndindex(curve.errors.shape))[::3]:
        ranks = tuple(int(axis[i]) for axis, i in zip(curve.axes, point, strict=True))
        assert curve.at(ranks) == pytest.approx(made.estimate(ranks), rel=1e-5, abs=1e-5)
    back = ErrorCurve.from_arrays(curve.to_arrays())
    assert (back.ways, back.shrinkage) == (curve.ways, curve.shrinkage)
    ranks = ranks_of(made, 0.5)
    assert back.shrinkage_at(ranks) == curve.shrinkage_at(ranks)
    if not curve.estimated:
        assert curve.shrinkage_at(ranks) == made.shrinkage_at(ranks)


# One side only, or none


@pytest.mark.parametrize(("kind", "spec", "groups"), CASES, ids=NAMES)
def test_without_input_moments_the_inputs_are_white(
    kind: str, spec: LayerSpec, groups: int
) -> None:
    """Errors are those of the weight in the metric."""
    weight, bias = layer(spec)
    g, other_g = metric(spec.out_channels, 100, 1), metric(spec.out_channels, 200, 2)
    made = factorizer(
        spec, kind, weight, bias, groups=groups, outputs_metric=g, held_out_metric=other_g
    )
    ranks = ranks_of(made, 0.35)
    found = made.shrinkage_at(ranks)
    assert (found.inputs, found.sides) == (None, 1)
    matrix = weight.reshape(len(weight), -1)
    links = made.at(ranks)
    left = root(other_g)
    off = left @ (matrix - effective_weight([link.weight for link in links]))
    error = np.linalg.norm(off) / np.linalg.norm(left @ matrix)
    assert made.error(ranks) == pytest.approx(error, abs=1e-6)
    np.testing.assert_allclose(links[-1].bias, bias, atol=1e-9)
    again = factorizer(spec, kind, weight, bias, None, found, groups=groups, outputs_metric=g)
    for one, other in zip(links, again.at(ranks), strict=True):
        np.testing.assert_array_equal(one.weight, other.weight)


def test_a_metric_of_zeros_is_no_metric() -> None:
    """The network does not hear the layer: input moments alone."""
    weight, bias = layer(CONV)
    fit, held = (Moments.from_outputs(patches(CONV, 200, seed)) for seed in (1, 2))
    nothing = np.zeros((6, 6))
    without = factorizer(CONV, "tucker2", weight, bias, fit, None, held)
    made = factorizer(
        CONV,
        "tucker2",
        weight,
        bias,
        fit,
        None,
        held,
        outputs_metric=nothing,
        held_out_metric=nothing,
    )
    assert made.error((2, 3)) == without.error((2, 3))
    assert made.shrinkage_at((2, 3)) == without.shrinkage_at((2, 3))


def test_only_shares_of_the_metric_matter() -> None:
    weight, bias = layer(LINEAR)
    fit = moments_of(LINEAR, "svd", weight, bias, patches(LINEAR, 200, 1))
    g = metric(9, 30, 2)
    one, other = (
        factorizer(LINEAR, "svd", weight, bias, fit, Shrinkage(0.1, 0.03), outputs_metric=scale * g)
        for scale in (1.0, 1e-30)
    )
    assert one.error((3,)) == pytest.approx(other.error((3,)))
    np.testing.assert_allclose(one.at((3,))[1].weight, other.at((3,))[1].weight, rtol=1e-9)


def test_the_original_has_nothing_to_choose() -> None:
    weight, bias = layer(CONV)
    made = factorizer(CONV, "original", weight, bias, outputs_metric=metric(6, 9, 1))
    assert made.error(()) == 0
    assert made.shrinkage_at(()) == Shrinkage()


def test_bad_metrics_are_refused() -> None:
    weight, bias = layer(LINEAR)
    with pytest.raises(LayerError, match=r"shape \(8, 8\) for a layer with 9 output channels"):
        factorizer(LINEAR, "svd", weight, bias, outputs_metric=np.eye(8))
    with pytest.raises(LayerError, match="metric holds values that are not finite"):
        factorizer(LINEAR, "svd", weight, bias, outputs_metric=np.full((9, 9), np.nan))
    fit = moments_of(LINEAR, "svd", weight, bias, patches(LINEAR, 20, 1))
    with pytest.raises(LayerError, match="made from an output metric, but none was given"):
        factorizer(LINEAR, "svd", weight, bias, fit, Shrinkage(0.1, 0.1))


def test_all_kinds_are_tried_here() -> None:
    assert set(NAMES) == {name for name, kind in KINDS.items() if kind.moments}


def test_amounts_that_are_given_are_taken() -> None:
    weight, bias = layer(LINEAR)
    fit, held = (
        Moments.from_outputs(outputs_of(weight, bias, patches(LINEAR, 90, s))) for s in (1, 2)
    )
    g, known = metric(9, 100, 1), Shrinkage(0.123, 0.456)
    given = (LINEAR, "svd", weight, bias, fit, known, held)
    ways = factorizer(*given, outputs_metric=g, held_out_metric=g).error_curve().ways
    assert ways == (Shrinkage(), Shrinkage(0.123), known)


def test_a_metric_is_scaled_to_a_mean_diagonal_of_one() -> None:
    made = OutputMetric.of(LINEAR, 17 * metric(9, 100, 1))
    assert made is not None
    assert np.trace(made.blocks[0]) == pytest.approx(9)


def test_a_grouped_layer_of_any_size_has_its_metric() -> None:
    """It needs no moments of white noise, which would be too large."""
    wide, kind = LayerSpec("conv2d", 1026, 2, (1026, 9, 9), (3, 3), groups=2), KINDS["tucker2"]
    grouped = Layer(wide, kind, np.ones(wide.weight_shape), None)
    assert Sides.of(grouped, None, np.eye(2)).metric is not None
    whole = replace(wide, groups=1)
    assert not Sides.of(Layer(whole, kind, np.ones(whole.weight_shape), None), None, np.eye(2))
