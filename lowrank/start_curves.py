"""The error curve of factors before they are refined, where a kind's first link is nested: that of
a smaller rank is the beginning of that of a larger one, so that one factorisation serves all ranks.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from .algebra import Matrix, cholesky, principal_directions
from .curves import ErrorCurve
from .kinds import Float64
from .output_error import OutputEnergy, OutputError
from .shapes import Ranks
from .views import View

ALL_RANKS = 16
"""Up to which full rank the curve has every first rank."""
LARGEST_SHARE = 0.75
"""Of full rank: above it a kind costs more than the layer, and the curve has full rank alone."""


class StartFeatures:
    """The features Phi = F (x) I of a start F (full r x inner) under one energy, for as many rows
    of it as were asked for: those of a smaller rank are the first ones."""

    def __init__(self, start: Matrix, view: View, energy: OutputEnergy) -> None:
        self.start, self.view, self.energy = start, view, energy
        self._crossed = np.empty((0, len(energy.weight)))
        self._gram = np.empty((0, 0))

    def first(self, rank: int) -> tuple[Matrix, Matrix]:
        """Of the first rows Phi A W^T (r*positions, C_out) and Phi A Phi^T."""
        size, known = rank * self.view.positions, len(self._gram)
        if size > known:
            self._add(rank, known // self.view.positions)
        return self._crossed[:size], self._gram[:size, :size]

    def _add(self, rank: int, known: int) -> None:
        """The features of the rows from `known` to `rank`."""
        view, new, old = self.view, self.start[known:rank], slice(len(self._gram))
        crossed = view.features(new, np.ascontiguousarray(self.energy.response.T))
        seen = view.features(new, self.energy.metric)
        products = view.features(self.start[:rank], np.ascontiguousarray(seen.T))
        gram = np.empty((len(products), len(products)))
        gram[old, old] = self._gram
        gram[:, len(self._gram) :] = products
        gram[len(self._gram) :, old] = products[old].T
        self._crossed, self._gram = np.concatenate([self._crossed, crossed]), gram


def curve_of_start(
    fit: StartFeatures, held_out: StartFeatures, full: Ranks, output_error: OutputError
) -> ErrorCurve:
    """The errors of a nested start at ranks of a grid, each with the best second link for `fit`,
    and measured on `held_out`, which `output_error` is of.

    The features of a rank are the first of those of any larger one, and so are the Cholesky factor
    of their Gram matrix, the regression on the orthonormal features, and all that measures it.
    """
    firsts, two_ranks = _grid(full[0]), fit.view.two_ranks
    lost = list[Float64]()
    if len(firsts) > 1:
        lost += _before_full(firsts[:-1], fit, held_out, full)
    lost.append(_at_full(fit.energy, held_out.energy, full, two_ranks))
    errors = np.array([[output_error.relative(value) for value in row] for row in lost])
    if not two_ranks:
        return ErrorCurve((firsts,), errors[:, 0], estimated=True)
    return ErrorCurve((firsts, np.arange(1, full[1] + 1)), errors, estimated=True)


def _before_full(
    firsts: NDArray[np.int64], fit: StartFeatures, held_out: StartFeatures, full: Ranks
) -> Iterator[Float64]:
    """The lost energy at each first rank: one value, or one for each last rank."""
    from scipy.linalg import solve_triangular

    largest, view = int(firsts[-1]), fit.view
    seen, moments = fit.first(largest)
    root = cholesky(moments)
    explained = solve_triangular(root, seen, lower=True)
    crossed, gram = held_out.first(largest)
    for size in firsts * view.positions:
        part, known = slice(size), explained[:size]
        second = solve_triangular(root[part, part], known, lower=True, trans="T").T
        if not view.two_ranks:
            yield np.array([held_out.energy.lost_by(second, crossed[part], gram[part, part])])
            continue
        basis = principal_directions(known.T @ known)[:, : full[1]]
        kept = basis.T @ second
        products = kept @ gram[part, part] @ kept.T
        yield _over_last(held_out.energy, basis, kept @ crossed[part], products)


def _at_full(energy: OutputEnergy, held_out: OutputEnergy, full: Ranks, two_ranks: bool) -> Float64:
    """At the full first rank, where the features span all that the weight sees of a patch."""
    if not two_ranks:
        return np.zeros(1)
    basis = principal_directions(energy.response @ energy.weight.T)[:, : full[1]]
    crossed = basis.T @ energy.weight @ held_out.response.T
    return _over_last(held_out, basis, crossed, crossed @ basis)


def _over_last(held_out: OutputEnergy, basis: Matrix, crossed: Matrix, gram: Matrix) -> Float64:
    """The lost energy at every last rank, for one first rank. `basis` U (C_out x r_out); of the
    r_out channels before it the products with the output (r_out x C_out), and their moments."""
    heard = held_out.as_heard(basis)
    along = np.cumsum(np.einsum("io,oi->i", crossed, heard))
    lost: Float64 = held_out.whole - 2 * along + _leading_sums((basis.T @ heard) * gram)
    return lost


def _leading_sums(matrix: Matrix) -> Float64:
    """Sums of the leading 1x1, 2x2, ... blocks of a symmetric matrix."""
    new = 2 * np.tril(matrix, -1).sum(axis=1) + np.diag(matrix)
    return np.cumsum(new)


def _grid(full: int) -> NDArray[np.int64]:
    """All ranks up to full where they are few; else powers of two and what lies halfway between
    them, of which the largest ones take most of the time."""
    if full <= ALL_RANKS:
        return np.arange(1, full + 1)
    powers = 2 ** np.arange(full.bit_length())
    ranks = np.unique(np.concatenate([powers, powers[1:] + powers[:-1]]))
    return np.append(ranks[ranks <= LARGEST_SHARE * full], full)
