"""Factors from patches: against outputs that are computed, and against other ways to the least."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from rankwise.errors import LayerError
from rankwise.lowrank import Moments, Shrinkage, factor, factorizer, full_ranks
from rankwise.lowrank.output_error import effective_weight
from rankwise.ops.chain import LinkWeights
from rankwise.records import Decomposition, LayerSpec

CONV = LayerSpec("conv2d", 4, 6, (4, 9, 9), (3, 3), padding=(1, 1, 1, 1))
KINDS = ("spatial_svd", "tucker2")
Rows = NDArray[np.float64]


def layer(spec: LayerSpec, seed: int = 0) -> tuple[Rows, Rows | None]:
    rng = np.random.default_rng(seed)
    bias = rng.standard_normal(spec.out_channels) if spec.bias else None
    return rng.standard_normal(spec.weight_shape), bias


def patches(spec: LayerSpec, count: int = 200, seed: int = 0, pace: float = 0.8) -> Rows:
    """Correlated rows, off zero, of falling importance, as a trained network's are."""
    rng = np.random.default_rng([seed, 7])
    size = int(np.prod(spec.weight_shape[1:]))
    mixing = rng.standard_normal((size, size)) * pace ** np.arange(size)
    return rng.standard_normal((count, size)) @ mixing.T + rng.standard_normal(size)


def matrix(weight: Rows) -> Rows:
    return weight.reshape(len(weight), -1)


def computed(links: tuple[LinkWeights, ...], rows: Rows) -> Rows:
    """The chain's outputs for patches."""
    last = links[-1].bias
    outputs: Rows = rows @ effective_weight([link.weight for link in links]).T
    return outputs if last is None else outputs + last


def direct_error(
    spec: LayerSpec, weight: Rows, bias: Rows | None, links: tuple[LinkWeights, ...], rows: Rows
) -> float:
    outputs = rows @ matrix(weight).T + (0 if bias is None else bias)
    whole = outputs - outputs.mean(axis=0) if spec.bias else outputs
    return float(np.linalg.norm(outputs - computed(links, rows)) / np.linalg.norm(whole))


def ranks_of(spec: LayerSpec, kind: str, data: st.DataObject) -> tuple[int, ...]:
    return tuple(data.draw(st.integers(1, full)) for full in full_ranks(spec, kind))


@given(st.sampled_from(KINDS), st.booleans(), st.sampled_from([0.0, 0.1, 1.0]), st.data())
@settings(max_examples=40)
def test_the_error_is_the_lost_output(
    kind: str, has_bias: bool, shrinkage: float, data: st.DataObject
) -> None:
    spec = replace(CONV, bias=has_bias)
    weight, bias = layer(spec)
    rows, others = patches(spec), patches(spec, seed=1)
    ranks = ranks_of(spec, kind, data)
    made = factorizer(spec, kind, weight, bias, Moments.from_outputs(rows), shrinkage)
    direct = direct_error(spec, weight, bias, made.at(ranks), rows)
    assert made.error(ranks) == pytest.approx(direct, abs=1e-6)
    chosen = factorizer(
        spec,
        kind,
        weight,
        bias,
        Moments.from_outputs(rows),
        held_out=Moments.from_outputs(others),
    )
    direct = direct_error(spec, weight, bias, chosen.at(ranks), others)
    assert chosen.error(ranks) == pytest.approx(direct, abs=1e-6)


@given(st.sampled_from(KINDS), st.booleans(), st.integers(0, 20), st.data())
@settings(max_examples=40)
def test_never_worse_than_the_weights_alone_on_held_out_patches(
    kind: str, has_bias: bool, seed: int, data: st.DataObject
) -> None:
    """Even when the data that factors are made from have nothing to do with them."""
    ranks = ranks_of(replace(CONV, bias=has_bias), kind, data)
    assert_never_worse_than_the_weights_alone(kind, ranks, has_bias, seed)


def test_where_refining_fits_few_patches_too_well_the_weights_alone_are_looked_at_again() -> None:
    """There the draft loses 0.82, the refined factors 0.953, and the weights alone, of which start
    and draft look worse, 0.945."""
    assert_never_worse_than_the_weights_alone("tucker2", (2, 4), has_bias=True, seed=1)


def assert_never_worse_than_the_weights_alone(
    kind: str, ranks: tuple[int, ...], has_bias: bool, seed: int
) -> None:
    spec = replace(CONV, bias=has_bias)
    weight, bias = layer(spec, seed)
    few, others = patches(spec, 5, seed), patches(spec, 200, seed + 1)
    made = factorizer(
        spec, kind, weight, bias, Moments.from_outputs(few), held_out=Moments.from_outputs(others)
    )
    plain = direct_error(
        spec, weight, bias, factor(spec, Decomposition(kind, ranks), weight, bias), others
    )
    assert made.error(ranks) <= plain + 1e-9
    if made.shrinkage_at(ranks) == Shrinkage():
        assert made.error(ranks) == pytest.approx(plain, abs=1e-9)


@pytest.mark.parametrize("has_bias", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_the_error_curve_holds_the_estimates(kind: str, has_bias: bool) -> None:
    spec = replace(CONV, bias=has_bias)
    weight, bias = layer(spec)
    fit, others = Moments.from_outputs(patches(spec)), Moments.from_outputs(patches(spec, seed=1))
    for held_out in (None, others):
        shrinkage = 0.05 if held_out is None else None
        made = factorizer(spec, kind, weight, bias, fit, shrinkage, held_out)
        curve = made.error_curve()
        assert curve.estimated
        assert [axis[-1] for axis in curve.axes] == list(full_ranks(spec, kind))
        assert all((np.diff(axis) > 0).all() for axis in curve.axes)
        for position in np.ndindex(curve.errors.shape):
            ranks = tuple(int(axis[i]) for axis, i in zip(curve.axes, position, strict=True))
            assert curve.at(ranks) == pytest.approx(made.estimate(ranks), abs=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_refined_factors_lose_no_more_of_what_they_were_made_from(kind: str) -> None:
    weight, bias = layer(CONV)
    made = factorizer(CONV, kind, weight, bias, Moments.from_outputs(patches(CONV)), 1e-6)
    gained = []
    for rank in range(1, 6):
        ranks = (rank,) if kind == "spatial_svd" else (min(rank, 4), rank)
        assert made.error(ranks) <= made.estimate(ranks) + 1e-6
        gained.append(made.estimate(ranks) - made.error(ranks))
    assert max(gained) > 1e-3


def test_a_last_rank_above_what_the_first_lets_through() -> None:
    """One input channel at nine places has nine dimensions; the other outputs stay unused."""
    spec = LayerSpec("conv2d", 4, 16, (4, 9, 9), (3, 3), padding=(1, 1, 1, 1))
    weight, bias = layer(spec)
    made = factorizer(spec, "tucker2", weight, bias, Moments.from_outputs(patches(spec)), 1e-6)
    links = made.at((1, 12))
    assert [link.weight.shape for link in links] == [(1, 4, 1, 1), (12, 1, 3, 3), (16, 12, 1, 1)]
    assert made.error((1, 12)) == pytest.approx(made.error((1, 9)), abs=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_full_shrinkage_is_as_good_as_the_weights_alone(kind: str) -> None:
    """With all of the identity for a metric, the least output error is the least weight error."""
    spec = replace(CONV, bias=False)
    weight, _ = layer(spec)
    made = factorizer(spec, kind, weight, None, Moments.from_outputs(patches(spec)), 1.0)
    for ranks in [(r,) if kind == "spatial_svd" else (min(r, 4), r) for r in range(1, 7)]:
        lost = matrix(weight) - effective_weight([link.weight for link in made.at(ranks)])
        plain = factorizer(spec, kind, weight).error(ranks)
        assert np.linalg.norm(lost) / np.linalg.norm(weight) <= 1.01 * plain + 1e-9


def test_with_all_inputs_kept_tucker2_is_the_projection_of_the_response() -> None:
    """Reduced-rank regression against the eigenvectors of the outputs' covariance."""
    weight, bias = layer(CONV)
    rows = patches(CONV)
    outputs = Moments.from_outputs(rows @ matrix(weight).T + bias)
    projected = factorizer(CONV, "channel_svd", weight, bias, outputs, 0.0)
    made = factorizer(CONV, "tucker2", weight, bias, Moments.from_outputs(rows), 0.0)
    for rank in range(1, 7):
        assert made.error((4, rank)) == pytest.approx(projected.error((rank,)), abs=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_no_descent_from_many_starts_gets_much_lower(kind: str) -> None:
    """A general minimiser on all factors at once, from random starts and from ours."""
    from scipy.optimize import minimize

    spec = replace(CONV, bias=False)
    weight, _ = layer(spec)
    moments = Moments.from_outputs(patches(spec, pace=0.95))
    ranks = (3,) if kind == "spatial_svd" else (2, 3)
    made = factorizer(spec, kind, weight, None, moments, 1e-4)
    root = np.linalg.cholesky(moments.second + 1e-9 * np.eye(36))
    shapes = [link.weight.shape for link in made.at(ranks)]
    sizes = np.cumsum([0, *(int(np.prod(shape)) for shape in shapes)])
    whole = np.linalg.norm(matrix(weight) @ root)

    def lost(flat: Rows) -> float:
        parts = [flat[a:b].reshape(s) for a, b, s in zip(sizes, sizes[1:], shapes, strict=False)]
        return float(np.linalg.norm((matrix(weight) - effective_weight(parts)) @ root) / whole) ** 2

    ours = np.concatenate([link.weight.ravel() for link in made.at(ranks)])
    rng = np.random.default_rng(0)
    starts = [ours, *(rng.standard_normal(len(ours)) / 3 for _ in range(3))]
    least = min(minimize(lost, start, options={"maxiter": 50}).fun for start in starts)
    assert made.error(ranks) <= 1.05 * np.sqrt(least)


def test_refusals() -> None:
    weight, bias = layer(CONV)
    with pytest.raises(LayerError, match="35 values for patches of 36"):
        factorizer(CONV, "spatial_svd", weight, bias, Moments.from_outputs(np.eye(35)))
    for amount in (-0.1, 1.1, float("nan")):
        with pytest.raises(LayerError, match="shrinkage must be between 0 and 1"):
            factorizer(CONV, "tucker2", weight, bias, Moments.from_outputs(np.eye(36)), amount)


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_to_see_and_nothing_to_lose(kind: str) -> None:
    weight, bias = layer(CONV)
    silent = Moments.from_outputs(np.zeros((4, 36)))
    made = factorizer(CONV, kind, weight, bias, silent, 0.1)
    ranks = (2,) if kind == "spatial_svd" else (2, 3)
    assert made.error(ranks) == 0
    assert np.isfinite(effective_weight([link.weight for link in made.at(ranks)])).all()
    nothing = factorizer(CONV, kind, 0 * weight, bias, Moments.from_outputs(patches(CONV)), 0.1)
    assert nothing.error(ranks) == 0
    np.testing.assert_allclose(nothing.at(ranks)[-1].bias, bias)


@pytest.mark.parametrize("kind", KINDS)
def test_a_draft_is_between_the_start_and_the_refined_factors(kind: str) -> None:
    weight, bias = layer(CONV)
    fit = Moments.from_outputs(patches(CONV))
    made = factorizer(CONV, kind, weight, bias, fit, Shrinkage(0.01))
    ranks = tuple(max(1, full // 2) for full in full_ranks(CONV, kind))
    draft = made.draft()
    assert made.error(ranks) <= draft.error(ranks) * (1 + 1e-9)
    assert draft.error(ranks) < made.estimate(ranks)
    assert made.error(ranks) < made.estimate(ranks)  # the draft has not taken its place
