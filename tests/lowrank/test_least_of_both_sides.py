"""The least of tr(G D A D^T): against an explicit decomposition, and against general descents."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from rankwise.lowrank import Moments, Shrinkage, factorizer, full_ranks
from rankwise.lowrank.output_error import effective_weight
from rankwise.records import LayerSpec

Rows = NDArray[np.float64]

LINEAR = LayerSpec("linear", 12, 9, (12,))
CONV = LayerSpec("conv2d", 4, 6, (4, 9, 9), (3, 3), padding=(1, 1, 1, 1))


def correlated(size: int, count: int, pace: float, seed: int) -> Rows:
    """Rows whose values depend on each other and fall in importance."""
    rng = np.random.default_rng(seed)
    mixing = rng.standard_normal((size, size)) * pace ** np.arange(size)
    return rng.standard_normal((count, size)) @ mixing.T


def root(g: Rows) -> Rows:
    values, vectors = np.linalg.eigh(g)
    return (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T


@pytest.mark.parametrize("has_bias", [True, False])
@pytest.mark.parametrize("spec", [LINEAR, CONV], ids=["svd", "channel_svd"])
def test_the_closed_form_is_the_truncated_svd_with_both_roots(
    spec: LayerSpec, has_bias: bool
) -> None:
    """Eckart and Young for G^1/2 W A^1/2: nothing of that rank loses less."""
    spec = replace(spec, bias=has_bias)
    kind = "svd" if spec.op == "linear" else "channel_svd"
    rng = np.random.default_rng(0)
    matrix, bias = rng.standard_normal((spec.out_channels, np.prod(spec.weight_shape[1:]))), None
    if has_bias:
        bias = rng.standard_normal(spec.out_channels)
    rows = correlated(matrix.shape[1], 300, 0.8, 1) + 0.5
    gradients = correlated(spec.out_channels, 200, 0.6, 2)
    metric = gradients.T @ gradients
    outputs = rows @ matrix.T + (0 if bias is None else bias)
    fit, none = Moments.from_outputs(outputs), Shrinkage(0.0, 0.0)
    weight = matrix.reshape(spec.weight_shape)
    made = factorizer(spec, kind, weight, bias, fit, none, outputs_metric=metric)
    whole = outputs - outputs.mean(axis=0) if has_bias else outputs
    values = np.linalg.svd(whole @ root(metric), compute_uv=False)
    for rank in range(1, full_ranks(spec, kind)[0]):
        best = np.sqrt((values[rank:] ** 2).sum() / (values**2).sum())
        assert made.error((rank,)) == pytest.approx(best, rel=1e-3, abs=3e-5)
        links = made.at((rank,))
        got = rows @ effective_weight([link.weight for link in links]).T
        off = (outputs - got - (0 if bias is None else links[-1].bias)) @ root(metric)
        lost = np.linalg.norm(off) / np.linalg.norm(values)
        assert lost == pytest.approx(best, rel=1e-3, abs=3e-5)


@pytest.mark.parametrize(
    ("kind", "ranks"), [("spatial_svd", (3,)), ("input_svd", (2,)), ("tucker2", (2, 3))]
)
def test_no_descent_gets_much_lower(kind: str, ranks: tuple[int, ...]) -> None:
    """A general minimiser on all factors at once, from ours and from random ones."""
    from scipy.optimize import minimize

    spec = replace(CONV, bias=False)
    rng = np.random.default_rng(0)
    weight = rng.standard_normal(spec.weight_shape)
    rows, gradients = correlated(36, 300, 0.95, 1), correlated(6, 200, 0.6, 2)
    fit, metric = Moments.from_outputs(rows), gradients.T @ gradients
    made = factorizer(spec, kind, weight, None, fit, Shrinkage(1e-4, 1e-4), outputs_metric=metric)
    left, right = root(metric), root(fit.second)
    whole = np.linalg.norm(left @ weight.reshape(6, -1) @ right)
    shapes = [link.weight.shape for link in made.at(ranks)]
    ends = np.cumsum([0, *(int(np.prod(shape)) for shape in shapes)])

    def error(flat: Rows) -> float:
        parts = [flat[a:b].reshape(s) for a, b, s in zip(ends, ends[1:], shapes, strict=False)]
        off = weight.reshape(6, -1) - effective_weight(parts)
        return float(np.linalg.norm(left @ off @ right) / whole) ** 2

    ours = np.concatenate([link.weight.ravel() for link in made.at(ranks)])
    starts = [ours, rng.standard_normal(len(ours)) / 3]
    least = min(minimize(error, start, options={"maxiter": 40}).fun for start in starts)
    assert made.error(ranks) <= 1.05 * np.sqrt(least)
