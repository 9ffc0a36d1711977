"""The best first link F of a kind for the second link that it has (see `alternating`).

With W ~ S (F (x) I) the lost energy is quadratic in F, and its least solves normal equations whose
matrix nobody forms: a few conjugate gradients on them, each a product with the patches' moments.
"""

from __future__ import annotations

from functools import cached_property

import numpy as np

from .algebra import MIN_SHRINKAGE, Matrix, cholesky, conjugate_gradients, with_fixed_signs
from .output_error import OutputEnergy
from .views import View

GRADIENT_STEPS = 4
"""Steps of conjugate gradients; eight gain nothing."""


class FirstLink:
    """One layer's first links under one kind."""

    def __init__(self, view: View, energy: OutputEnergy) -> None:
        """`energy` is what is made least; what costs an error of the output is not looked at."""
        self.view, self.energy = view, energy

    @cached_property
    def _inputs(self) -> tuple[Matrix, bool]:
        """The Cholesky factor of the inner values' moments, as if positions were not correlated."""
        return cholesky(self.view.traced(self.energy.metric) / self.view.positions), True

    def better(self, first: Matrix, core: Matrix, last: Matrix | None) -> Matrix:
        """F (r x inner) after a few steps from `first`, its rows made orthonormal.

        `core` (r_out x r*positions) and `last` U (C_out x r_out, orthonormal columns; None where
        the core has all outputs) are what follows it. Preconditioned as if positions were not
        correlated.
        """
        from scipy.linalg import cho_solve

        shape = (len(core), first.shape[0], self.view.positions)
        cores = core.reshape(shape)
        gram = np.einsum("orp,osp->rs", cores, cores, optimize=True)
        ridge = MIN_SHRINKAGE * max(float(np.trace(gram)), 1e-300)
        left = cholesky(gram + ridge * np.eye(len(gram))), True

        def preconditioned(residual: Matrix) -> Matrix:
            solution: Matrix = cho_solve(self._inputs, cho_solve(left, residual).T).T
            return solution

        response = self.energy.response if last is None else last.T @ self.energy.response
        curvature = _Curvature(self.view, self.energy.metric, core)
        residual = self._gathered(cores, response) - curvature.of(first)
        step = conjugate_gradients(curvature.of, preconditioned, residual, GRADIENT_STEPS)
        return with_fixed_signs(np.linalg.qr((first + step).T)[0]).T

    def _gathered(self, cores: Matrix, rows: Matrix) -> Matrix:
        """The gradient by F (r x inner) from that by the whole weight (r_out x n)."""
        seen = rows.reshape(-1, self.view.inner, self.view.positions)
        product: Matrix = np.einsum("orp,oap->ra", cores, seen, optimize=True)
        return product


class _Curvature:
    """The normal equations' matrix: what a change P (r x inner) of F does to the gradient."""

    def __init__(self, view: View, metric: Matrix, core: Matrix) -> None:
        self.view, self.metric, self.core = view, metric, core
        self.product = core.T @ core

    def of(self, change: Matrix) -> Matrix:
        """M (P (x) I) A gathered at equal positions, M = core^T core."""
        width, inner = self.view.positions, self.view.inner
        seen = self.view.features(change, self.metric).reshape(-1, inner, width)
        by_position = self.product.reshape(len(change), width, -1)
        result = np.zeros_like(change)
        for position in range(width):
            result += by_position[:, position] @ seen[:, :, position]
        return result
