"""Inputs that say little or nothing: factors are made, and are finite and no worse than those that
know no data."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from rankwise.lowrank import KINDS, Moments, factorizer, moments_wanted
from rankwise.lowrank.shrinkage import WEIGHTS_ALONE
from rankwise.records import LayerSpec

CONV = LayerSpec("conv2d", 3, 5, (3, 9, 9), (3, 3), padding=(1,) * 4)
FITTING = [
    kind.name for kind in KINDS.values() if not kind.applies(CONV) and kind.name != "original"
]
Rows = NDArray[np.float64]

CASES: dict[str, Callable[[Rows], Rows]] = {
    "constant": lambda rows: np.broadcast_to(rows[:1], rows.shape),
    "constant and large": lambda rows: np.broadcast_to(1e6 * rows[:1], rows.shape),
    "zero": lambda rows: 0 * rows,
    "one vector": lambda rows: rows[:1],
    "fewer vectors than values": lambda rows: rows[:5],
    "one dead value": lambda rows: rows * (np.arange(rows.shape[1]) > 0),
    "one constant value": lambda rows: np.where(np.arange(rows.shape[1]) > 0, rows, 3.0),
    "far from zero": lambda rows: rows + 1e3,
    "huge": lambda rows: 1e15 * rows,
    "tiny": lambda rows: 1e-15 * rows,
    "of very different sizes": lambda rows: rows * np.logspace(-8, 8, rows.shape[1]),
}


def moments_of(rows: Rows) -> Moments:
    """As they come from the cache, with second moments in float32."""
    return Moments.from_arrays(Moments.from_outputs(rows).to_arrays())


@pytest.mark.parametrize(
    ("bias", "with_metric"), [(True, False), (False, True)], ids=["bias", "both sides"]
)
@pytest.mark.parametrize("case", CASES)
@pytest.mark.parametrize("kind", FITTING)
def test_moments_that_say_little(kind: str, case: str, bias: bool, with_metric: bool) -> None:
    spec = replace(CONV, bias=bias)
    rng = np.random.default_rng(0)
    weight = rng.standard_normal(spec.weight_shape)
    offset = rng.standard_normal(5) if bias else None
    source = moments_wanted(spec, kind)
    fit = held = None
    if source:
        size = 5 if source == "outputs" else weight[0].size
        mixing = rng.standard_normal((size, size))
        fit, held = (
            moments_of(CASES[case](rng.standard_normal((100, size)) @ mixing)) for _ in range(2)
        )
    metric = np.diag(np.arange(5.0)) if with_metric else None
    made = factorizer(
        spec,
        kind,
        weight,
        offset,
        fit,
        held_out=held,
        outputs_metric=metric,
        held_out_metric=metric,
    )
    full = KINDS[kind].full_ranks(spec)
    curve = made.error_curve()
    assert np.isfinite(curve.errors).all()
    for share in (0.25, 1.0):
        ranks = tuple(max(1, int(share * limit)) for limit in full)
        links = made.at(ranks)
        assert all(np.isfinite(link.weight).all() for link in links)
        assert np.isfinite(made.error(ranks))
        if share == 1.0:
            assert made.error(ranks) <= 1e-3
        if case == "zero":  # whatever the factors are, nothing is lost
            assert made.shrinkage_at(ranks) == WEIGHTS_ALONE
