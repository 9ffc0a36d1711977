"""Orthonormal bases of a matrix's column space, ordered, with signs that do not wander."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float64]


MIN_SHRINKAGE = 1e-9
"""What second moments are shrunk by at least, so that they have an inverse."""


RIDGE = 1e-12
"""Of the size of normal equations or of a metric: directions that are alike do not blow up."""


def shrunk_metric(metric: Matrix, amount: float) -> Matrix:
    """(1 - a) G + a I, I scaled to the trace of G; never quite without I."""
    kept, added = shrinking(metric, amount)
    result = kept * metric
    result[np.diag_indices_from(result)] += added
    return result


def shrinking(metric: Matrix, amount: float) -> tuple[float, float]:
    """How `shrunk_metric` shrinks: the factor of G, and what is added to its diagonal."""
    amount = max(amount, MIN_SHRINKAGE)
    scale = float(np.trace(metric)) / len(metric)
    return 1 - amount, amount * scale if scale > 0 else 1.0


def symmetric_roots(metric: Matrix) -> tuple[Matrix, Matrix]:
    """G^1/2 and G^-1/2, symmetric, of a positive definite matrix (n x n), or of several
    (..., n, n)."""
    values, vectors = np.linalg.eigh(metric)
    largest = np.maximum(values[..., -1:], np.finfo(float).tiny)
    roots = np.sqrt(np.maximum(values, RIDGE * largest))[..., None, :]
    turned = np.swapaxes(vectors, -1, -2)
    return (vectors * roots) @ turned, (vectors / roots) @ turned


def cholesky(gram: Matrix) -> Matrix:
    """L (n x n, lower) with L L^T = `gram`, which is positive definite but for rounding: if it is
    not, the least of 1e-12, 1e-11, ... of its largest entry that makes it so is added to its
    diagonal."""
    size = max(float(np.abs(gram).max(initial=0.0)), np.finfo(float).tiny)
    added = 0.0
    while True:
        try:
            held = gram + added * np.eye(len(gram)) if added else gram
            return np.asarray(np.linalg.cholesky(held), dtype=np.float64)
        except np.linalg.LinAlgError:
            if not np.isfinite(size):
                raise
            added = max(RIDGE * size, 10 * added)


def principal_directions(gram: Matrix) -> Matrix:
    """Eigenvectors of a symmetric matrix (n x n) as columns, by falling eigenvalue."""
    _, vectors = np.linalg.eigh(gram)
    return with_fixed_signs(vectors[:, ::-1])


def with_fixed_signs(columns: Matrix) -> Matrix:
    """Each column times +1 or -1, so that its entry of largest magnitude is positive."""
    largest = np.abs(columns).argmax(axis=0)
    signs = np.sign(columns[largest, np.arange(columns.shape[1])])
    result: Matrix = columns * np.where(signs == 0, 1.0, signs)
    return result


def column_space(matrix: Matrix) -> Matrix | None:
    """Orthonormal basis (rows x cols) of a tall matrix's columns; None (all of the space) for
    a wide one. Inside it every direction can be kept, so full rank loses nothing."""
    rows, cols = matrix.shape
    return np.linalg.qr(matrix)[0] if rows > cols else None


def principal_basis(matrix: Matrix, target: Matrix | None = None) -> Matrix:
    """Directions (rows x min(rows, cols)) that hold most of `target`, within the columns of
    `matrix`. `target` (rows x rows, positive semi-definite) defaults to matrix @ matrix.T,
    which makes them the left singular vectors.

    The eigenvectors of a Gram matrix are much faster than an SVD, and their inexactness (at
    singular values below 1e-8 of the largest) does not matter here, because weights are
    *projected* on them: whatever orthonormal basis it is, all of it together loses nothing.
    """
    space = column_space(matrix)
    if space is None:
        return principal_directions(matrix @ matrix.T if target is None else target)
    if target is None:
        inner = space.T @ matrix
        gram = inner @ inner.T
    else:
        gram = space.T @ target @ space
    return with_fixed_signs(space @ principal_directions(gram))


def completed(basis: Matrix, count: int) -> Matrix:
    """The first `count` columns; where there are fewer, others orthonormal to them follow."""
    missing = count - basis.shape[1]
    if missing <= 0:
        return basis[:, :count]
    whole = np.linalg.qr(basis, mode="complete")[0]
    return np.hstack([basis, whole[:, basis.shape[1] : count]])


def singular_energies(matrix: Matrix) -> Matrix:
    """Squared singular values, falling, (min(rows, cols),)."""
    values: Matrix = np.linalg.svd(matrix, compute_uv=False).astype(np.float64)
    return values**2


def tail_errors(energies: NDArray[Any], total: float | None = None) -> NDArray[np.float64]:
    """Relative errors (n + 1,) when the first 0, 1, ... n of n non-negative energies are kept.

    Relative to `total`, by default their sum (then no error is above 1). Summed from the small
    end, so that no difference of large numbers hides a small error. Where there is no energy at
    all nothing can be lost: zeros.
    """
    tails = np.append(np.cumsum(energies[::-1])[::-1], 0.0)
    whole = tails[0] if total is None else total
    if whole <= 0:
        return np.zeros_like(tails)
    errors: NDArray[np.float64] = np.sqrt(np.maximum(tails / whole, 0.0))
    return errors if total is not None else np.minimum(errors, 1.0)


def least_squares(gram: Matrix, seen: Matrix) -> Matrix:
    """The solution X of `gram @ X = seen`, with gram (n x n) positive semi-definite."""
    mean = float(np.trace(gram)) / len(gram)
    held = gram + max(RIDGE * mean, np.finfo(float).tiny) * np.eye(len(gram))
    return np.asarray(np.linalg.solve(held, seen), dtype=np.float64)


def conjugate_gradients(
    apply: Callable[[Matrix], Matrix],
    preconditioned: Callable[[Matrix], Matrix],
    residual: Matrix,
    steps: int,
) -> Matrix:
    """x of `apply`(x) = residual after so many steps from zero."""
    solution = np.zeros_like(residual)
    direction = towards = preconditioned(residual)
    weight = float(np.vdot(residual, towards))
    for _ in range(steps):
        image = apply(direction)
        curvature = float(np.vdot(direction, image))
        if weight <= 0 or curvature <= 0:
            break
        solution = solution + weight / curvature * direction
        residual = residual - weight / curvature * image
        towards = preconditioned(residual)
        before, weight = weight, float(np.vdot(residual, towards))
        direction = towards + weight / before * direction
    return solution
