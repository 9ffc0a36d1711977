"""How many directions of a matrix stand out from noise: analytic empirical VBMF.

Nakajima, Sugiyama, Babacan and Tomioka, "Global analytic solution of fully-observed
variational Bayesian matrix factorization", JMLR 14 (2013).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import LayerError
from .algebra import singular_energies

Energies = NDArray[np.float64]

_TAU_PER_ROOT_ALPHA = 2.5129
"""The paper's approximation of the threshold's zero, good for every aspect ratio."""


def evbmf(matrix: NDArray[Any]) -> tuple[int, float]:
    """The rank and the noise variance that minimise the free energy.

    Any shape (rows, cols); the transpose gives the same. An all-zero matrix has rank 0 and no
    noise; a single row or column tells nothing apart from noise and has rank 0. Raises
    `LayerError` for an empty matrix or values that are not finite.
    """
    energies, rows, cols, unit = _energies(matrix)
    total = float(energies.sum())
    if not total:
        return 0, 0.0
    alpha = rows / cols
    tau = _TAU_PER_ROOT_ALPHA * alpha**0.5
    limit = (1 + tau) * (1 + alpha / tau)
    # Scaled to a mean square of one, so that no tolerance depends on the matrix's unit.
    scale = total / (rows * cols)
    energies = energies / (scale * cols)
    noise = _noise_variance(energies, alpha, limit)
    return int((energies > noise * limit).sum()), noise * scale * unit**2


def _energies(matrix: NDArray[Any]) -> tuple[Energies, int, int, float]:
    """Squared singular values, falling, the sizes with rows <= columns, and the largest entry,
    which they are relative to, so that no square leaves the range of numbers."""
    given = np.asarray(matrix)
    if given.dtype.kind not in "biuf":
        raise LayerError(f"a rank needs a matrix of real numbers, not of {given.dtype}")
    exact = given.astype(np.float64)
    if exact.ndim != 2 or not exact.size:
        raise LayerError(f"a rank needs a matrix that is not empty, not shape {exact.shape}")
    if not np.isfinite(exact).all():
        raise LayerError("the matrix holds values that are not finite")
    rows, cols = sorted(exact.shape)
    unit = float(np.abs(exact).max()) or 1.0
    return singular_energies(exact / unit), rows, cols, unit


def _noise_variance(energies: Energies, alpha: float, limit: float) -> float:
    """The noise variance between the paper's bounds that minimises the free energy.

    `energies` are squared singular values over the number of columns, of mean square one.
    The free energy has a kink at each singular value and so, at times, several minima that
    differ by a rank or two. The search starts at golden sections of the interval, as all
    public implementations do, so that ranks agree with theirs.
    """
    from scipy.optimize import minimize_scalar

    rows = len(energies)
    highest_rank = int(np.ceil(rows / (1 + alpha))) - 1
    noise_only = energies[highest_rank:]
    low = max(float(noise_only[0]) / limit, float(noise_only.mean()), np.finfo(float).eps ** 2)
    high = float(energies.sum()) / rows
    if low >= high:
        return high
    minimum = minimize_scalar(
        _free_energy,
        bounds=(low, high),
        args=(energies, alpha, limit),
        method="bounded",
        options={"xatol": 1e-9 * high},
    )
    return float(minimum.x)


def _free_energy(noise: float, energies: Energies, alpha: float, limit: float) -> float:
    """Free energy of a noise variance, up to a constant (Theorem 9 of the paper): the sum of
    psi0(x) = x - log x over all x, and of psi1(x) over those above the limit."""
    x = np.maximum(energies, np.finfo(float).tiny) / noise
    result = float(np.sum(x - np.log(x)))
    kept = x[x > limit]
    shift = kept - (1 + alpha)
    tau = (shift + np.sqrt(shift**2 - 4 * alpha)) / 2
    psi1 = np.log(tau + 1) + alpha * np.log(tau / alpha + 1) - tau
    return result + float(psi1.sum())
