"""input_svd: the weight projected on r orthonormal directions of the input channels.

`W ~ (W V) V^T` for each position of the kernel: the first link is `V^T`, the last `W V`.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..records import LayerSpec
from .algebra import Matrix, principal_basis, tail_errors
from .moments import Moments
from .projection import Arrays, Projection


def input_unfolding(spec: LayerSpec, weight: NDArray[np.float64]) -> tuple[Matrix, ...]:
    """C_in x (C_out*kh*kw)."""
    return (weight.transpose(1, 0, 2, 3).reshape(weight.shape[1], -1),)


def project_input(
    spec: LayerSpec,
    weight: NDArray[np.float64],
    moments: Moments | None,
    shrinkage: float | None,
) -> Projection:
    """From the weights: output moments do not determine the input's directions."""
    (matrix,) = input_unfolding(spec, weight)
    c_out, _, kh, kw = weight.shape

    def fold(coordinates: Matrix, basis: Matrix) -> Arrays:
        rank = len(coordinates)
        core = coordinates.reshape(rank, c_out, kh, kw).transpose(1, 0, 2, 3)
        return basis.T[:, :, None, None], core

    basis = principal_basis(matrix)
    first = basis.T @ matrix
    return Projection(first, basis, tail_errors(np.einsum("ij,ij->i", first, first)), fold)
