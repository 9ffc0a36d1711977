"""EVBMF against what the public implementation printed for the same matrices."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from rankwise.errors import LayerError
from rankwise.lowrank.vbmf import evbmf

CASES: list[dict[str, Any]] = json.loads(
    (Path(__file__).parents[1] / "data" / "evbmf_reference.json").read_text()
)["cases"]


@pytest.mark.parametrize("case", CASES, ids=lambda c: "{rows}x{cols}-{noise}-{seed}".format(**c))
def test_reference(case: dict[str, Any]) -> None:
    rng = np.random.default_rng(case["seed"])
    a = rng.standard_normal((case["rows"], case["true_rank"]))
    b = rng.standard_normal((case["true_rank"], case["cols"]))
    matrix = a @ b + case["noise"] * rng.standard_normal((case["rows"], case["cols"]))
    rank, noise = evbmf(matrix)
    assert rank == case["evbmf_rank"]
    assert noise == pytest.approx(case["sigma2"], rel=1e-3)
    assert evbmf(matrix.T) == (rank, pytest.approx(noise, rel=1e-6))


def test_the_unit_does_not_matter() -> None:
    rng = np.random.default_rng(0)
    matrix = rng.standard_normal((40, 6)) @ rng.standard_normal((6, 90))
    matrix += rng.standard_normal(matrix.shape)
    rank, noise = evbmf(matrix)
    for unit in (1e-150, 1e-6, 1e6, 1e150):
        assert evbmf(unit * matrix) == (rank, pytest.approx(unit**2 * noise, rel=1e-6))


def test_exactly_low_rank() -> None:
    rng = np.random.default_rng(0)
    rank, noise = evbmf(rng.standard_normal((30, 4)) @ rng.standard_normal((4, 50)))
    assert rank == 4
    assert noise == pytest.approx(0, abs=1e-6)


def test_nothing_to_find() -> None:
    assert evbmf(np.zeros((5, 7))) == (0, 0.0)
    assert evbmf(np.arange(1.0, 9.0)[None, :])[0] == 0
    assert evbmf(np.arange(1.0, 9.0)[:, None])[0] == 0
    assert evbmf(np.eye(6))[0] == 0
    assert evbmf(np.array([[3]])) == (0, pytest.approx(9.0))


@pytest.mark.parametrize("sizes", [(1, 9), (1, 1), (9, 1)])
def test_a_single_row_is_all_noise(sizes: tuple[int, int]) -> None:
    matrix = np.random.default_rng(0).standard_normal(sizes)
    assert evbmf(matrix) == (0, pytest.approx(float((matrix**2).mean())))
    assert evbmf(np.zeros(sizes)) == (0, 0.0)


@pytest.mark.parametrize("matrix", [np.array([["a", "b"]]), np.ones((2, 2)) * 1j, [[None]]])
def test_no_real_numbers(matrix: Any) -> None:
    with pytest.raises(LayerError, match="real numbers"):
        evbmf(matrix)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_values_that_are_not_finite(bad: float) -> None:
    with pytest.raises(LayerError, match="not finite"):
        evbmf(np.array([[1.0, bad], [0.0, 1.0]]))


@pytest.mark.parametrize("shape", [(0, 3), (3, 0), (4,), (2, 2, 2)])
def test_not_a_matrix(shape: tuple[int, ...]) -> None:
    with pytest.raises(LayerError, match="needs a matrix"):
        evbmf(np.ones(shape))
