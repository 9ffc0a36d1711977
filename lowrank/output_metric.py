"""How much the network hears of each error of a layer's output.

To first order the compared outputs y of the network change by J e when the layer's output is off by
e, so that the squared network error is e^T J^T J e. With random cotangents v ~ N(0, I) and
g = J^T v, one backward pass each and no labels, E[g g^T] = J^T J. The output metric G = E[g g^T]
averages that over pictures and positions: an error D x costs tr(G D A D^T), if g and x do not
depend on each other and A = E[x x^T] (the Kronecker approximation of K-FAC, Martens and Grosse,
2015; in low-rank factors "generalized Fisher-weighted SVD", arXiv 2505.17974).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from ..errors import LayerError
from ..records import LayerSpec
from .algebra import Matrix, symmetric_roots
from .kinds import Float64
from .moments import Moments

MIN_SHRINKAGE = 1e-6
"""What a metric is shrunk by at least: of few pictures and few outputs it has a low rank, and its
root must have an inverse."""


@dataclass(frozen=True, slots=True, eq=False)
class OutputMetric:
    """`blocks` (groups, m, m): G, positive semi-definite, of m = C_out / groups outputs each, and
    scaled to a mean diagonal of 1, because only shares of it matter.

    A grouped convolution keeps the diagonal block of each group: its chain cannot mix groups.
    """

    blocks: Float64

    @classmethod
    def of(cls, spec: LayerSpec, metric: NDArray[Any] | None) -> Self | None:
        """From E[g g^T] (C_out, C_out); None where there is none or where it is zero, so that the
        network does not hear the layer at all. `LayerError` for another shape."""
        if metric is None:
            return None
        if metric.shape != (spec.out_channels,) * 2:
            raise LayerError(
                f"an output metric of shape {metric.shape} for a layer with {spec.out_channels} "
                "output channels"
            )
        exact = np.asarray(metric, dtype=np.float64)
        if not np.isfinite(exact).all():
            raise LayerError("the output metric holds values that are not finite")
        groups, size = spec.groups, spec.out_channels // spec.groups
        of_groups = exact.reshape(groups, size, groups, size)
        blocks = np.stack([of_groups[group, :, group] for group in range(groups)])
        mean = float(np.trace(exact)) / spec.out_channels
        return cls((blocks + blocks.transpose(0, 2, 1)) / (2 * mean)) if mean > 0 else None

    def energy(self, rows: Matrix) -> float:
        """tr(G R R^T) for R (C_out, n)."""
        return float(np.vdot(_times(self.blocks, rows), rows))

    def coordinates(self, shrinkage: float) -> Coordinates:
        """Those in which all errors count alike under (1 - s) G + s I."""
        amount = max(shrinkage, MIN_SHRINKAGE)
        shrunk = (1 - amount) * self.blocks + amount * np.eye(self.blocks.shape[-1])
        return Coordinates(*symmetric_roots(shrunk))


@dataclass(frozen=True, slots=True, eq=False)
class Coordinates:
    """y~ = G^1/2 y, G having been shrunk. `root` and `inverse` are (groups, m, m), symmetric."""

    root: Float64
    inverse: Float64

    def into(self, rows: Float64) -> Float64:
        """G^1/2 R for R (C_out, ...)."""
        return _times(self.root, rows)

    def back(self, rows: Float64) -> Float64:
        """G^-1/2 R for R (C_out, ...)."""
        return _times(self.inverse, rows)

    def moments(self, outputs: Moments) -> Moments:
        """The moments of y~ from those of an ungrouped layer's y."""
        root = self.root[0]
        return Moments(root @ outputs.mean, root @ outputs.second @ root, outputs.count)

    def metric(self, of_outputs: Matrix) -> Matrix:
        """K with y~^T K y~ = y^T G y for another metric G of an ungrouped layer's y."""
        inverse = self.inverse[0]
        result: Matrix = inverse @ of_outputs @ inverse
        return result


def _times(blocks: Float64, rows: Float64) -> Float64:
    """The product of a block-diagonal matrix and R (C_out, ...)."""
    groups, size, _ = blocks.shape
    product: Float64 = blocks @ rows.reshape(groups, size, -1)
    return product.reshape(rows.shape)
