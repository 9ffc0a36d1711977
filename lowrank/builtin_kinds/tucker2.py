"""tucker2: orthonormal bases of the input and the output channels, a k x k core between them.

Partial Tucker-2, Kim et al., ICLR 2016: HOSVD start (De Lathauwer et al., 2000a), then HOOI sweeps
(2000b) for the ranks wanted. The core carries all of the scale, the 1x1 links are orthonormal. With
moments of the patches it is what loses least of the output (see `alternating`).
"""

from __future__ import annotations

import math
from dataclasses import replace
from functools import cached_property

import numpy as np

from ...records import LayerSpec
from ..algebra import Matrix, principal_basis, principal_directions
from ..alternating import AlternatingFit, alternating_fit
from ..curves import ErrorCurve
from ..grouped import by_group, each_group
from ..kinds import Arrays, Float64, Kind
from ..moments import Moments
from ..shapes import (
    Links,
    Ranks,
    layer_after,
    pointwise_first,
    pointwise_last,
    reason_unless_spatial,
)
from ..views import View
from . import input_svd, svd

MAX_SWEEPS = 50
TOLERANCE = 1e-4
"""Sweeps end when the kept energy grows by less than this, relative to what is lost."""


class Tucker2:
    """One weight (C_out, C_in, kh, kw), its HOSVD, and the refined bases of ranks asked for."""

    def __init__(self, weight: Float64) -> None:
        self.weight = weight
        self.kernel = weight.shape[2:]
        c_out, c_in = weight.shape[:2]
        # (C_out, positions, C_in): both unfoldings are then one reshape or one matmul away.
        self._tensor = np.ascontiguousarray(weight.reshape(c_out, c_in, -1).transpose(0, 2, 1))
        self._energy = float(np.vdot(weight, weight))
        self._refined: dict[Ranks, tuple[Matrix, Matrix]] = {}

    @cached_property
    def hosvd(self) -> tuple[Matrix, Matrix]:
        """Bases (C_in x full r_in, C_out x full r_out), each by falling energy."""
        c_out, _, c_in = self._tensor.shape
        rows = self._tensor.reshape(-1, c_in).T
        return principal_basis(rows), principal_basis(self._tensor.reshape(c_out, -1))

    def weights(self, ranks: Ranks) -> Arrays:
        """1x1 (r_in, C_in), core (r_out, r_in, kh, kw), 1x1 (C_out, r_out)."""
        return self._links(*self.bases(ranks))

    def start_weights(self, ranks: Ranks) -> Arrays:
        """Those of the truncated HOSVD."""
        basis_in, basis_out = self.hosvd
        return self._links(basis_in[:, : ranks[0]], basis_out[:, : ranks[1]])

    def _links(self, basis_in: Matrix, basis_out: Matrix) -> Arrays:
        core = self._core(basis_in, basis_out).transpose(0, 2, 1)
        shaped = core.reshape(core.shape[0], core.shape[1], *self.kernel)
        return basis_in.T[:, :, None, None], shaped, basis_out[:, :, None, None]

    def bias(self, _ranks: Ranks, bias: Float64) -> Float64:
        return bias

    def error(self, ranks: Ranks) -> float:
        """Relative Frobenius error of the refined factors, from the residual itself."""
        if not self._energy:
            return 0.0
        basis_in, basis_out = self.bases(ranks)
        core = self._core(basis_in, basis_out)
        rank_out = core.shape[0]
        rebuilt = (basis_out @ (core @ basis_in.T).reshape(rank_out, -1)).reshape(
            self._tensor.shape
        )
        residual = float(np.linalg.norm(self._tensor - rebuilt))
        return min(residual / math.sqrt(self._energy), 1.0)

    def estimate(self, ranks: Ranks) -> float:
        """Error of the truncated HOSVD, never below `error`; free for every pair of ranks
        once the core at full ranks is known."""
        if not self._energy:
            return 0.0
        rank_in, rank_out = ranks
        rows_lost, columns_lost = self._lost
        lost = rows_lost[rank_out] + columns_lost[rank_out, rank_in]
        return min(math.sqrt(lost / self._energy), 1.0)

    def error_curve(self) -> ErrorCurve:
        """The estimates at all pairs of ranks (full r_in, full r_out)."""
        rows_lost, columns_lost = self._lost
        lost = rows_lost[1:, None] + columns_lost[1:, 1:]
        full_out, full_in = lost.shape
        relative = lost.T / self._energy if self._energy else np.zeros((full_in, full_out))
        axes = np.arange(1, full_in + 1), np.arange(1, full_out + 1)
        return ErrorCurve(axes, np.minimum(np.sqrt(relative), 1.0), estimated=True)

    @cached_property
    def _lost(self) -> tuple[Matrix, Matrix]:
        """Energy of the full core in the rows from r_out on (r_out,), and in the rows before
        r_out and columns from r_in on (r_out, r_in): sums of non-negative parts only."""
        core = self._core(*self.hosvd)
        energy = np.einsum("okc,okc->oc", core, core)
        tails = np.cumsum(np.pad(energy, ((1, 0), (0, 1)))[:, ::-1], axis=1)[:, ::-1]
        return np.append(np.cumsum(energy.sum(axis=1)[::-1])[::-1], 0.0), np.cumsum(tails, axis=0)

    def bases(self, ranks: Ranks) -> tuple[Matrix, Matrix]:
        """(C_in x r_in, C_out x r_out) after the sweeps, remembered."""
        if ranks not in self._refined:
            self._refined[ranks] = self._sweep(*ranks)
        return self._refined[ranks]

    def _sweep(self, rank_in: int, rank_out: int) -> tuple[Matrix, Matrix]:
        full_in, full_out = self.hosvd
        basis_in, basis_out = full_in[:, :rank_in], full_out[:, :rank_out]
        # A mode at full rank spans all there is: its basis is final, and so is the other's
        # once both have been seen.
        fixed_in = rank_in == full_in.shape[1]
        fixed_out = rank_out == full_out.shape[1]
        if fixed_in or fixed_out:
            return basis_in, basis_out
        before = 0.0
        for _ in range(MAX_SWEEPS):
            basis_out = self._best_out(basis_in, rank_out)
            basis_in, kept = self._best_in(basis_out, rank_in)
            if kept - before <= TOLERANCE * max(self._energy - kept, 0.0):
                break
            before = kept
        return basis_in, basis_out

    def _best_out(self, basis_in: Matrix, rank: int) -> Matrix:
        rows = (self._tensor @ basis_in).reshape(self._tensor.shape[0], -1)
        return principal_directions(rows @ rows.T)[:, :rank]

    def _best_in(self, basis_out: Matrix, rank: int) -> tuple[Matrix, float]:
        c_out, _, c_in = self._tensor.shape
        rows = (basis_out.T @ self._tensor.reshape(c_out, -1)).reshape(-1, c_in)
        basis = principal_directions(rows.T @ rows)[:, :rank]
        kept = rows @ basis
        return basis, float(np.vdot(kept, kept))

    def _core(self, basis_in: Matrix, basis_out: Matrix) -> Matrix:
        """(r_out, positions, r_in)."""
        _, positions, c_in = self._tensor.shape
        half = (basis_out.T @ self._tensor.reshape(-1, positions * c_in)).reshape(-1, c_in)
        core: Matrix = (half @ basis_in).reshape(-1, positions, basis_in.shape[1])
        return core


def full_ranks(spec: LayerSpec) -> Ranks:
    """(r_in, r_out): the ranks of the C_in x rest and the C_out x rest unfoldings."""
    return (*input_svd.full_ranks(spec), *svd.full_ranks(spec))


def links(spec: LayerSpec, ranks: Ranks) -> Links:
    """1x1 C_in -> r_in, the k x k core, 1x1 r_out -> C_out."""
    rank_in, rank_out = ranks
    first = pointwise_first(spec, rank_in)
    core = replace(layer_after(first, spec, bias=False), out_channels=rank_out)
    return first, core, pointwise_last(core, spec)


def unfold(_spec: LayerSpec, weight: Float64) -> tuple[Matrix, ...]:
    """C_in x rest, C_out x rest, in the order of the ranks."""
    c_out, c_in = weight.shape[:2]
    return weight.transpose(1, 0, 2, 3).reshape(c_in, -1), weight.reshape(c_out, -1)


def _factorize(
    spec: LayerSpec, weight: Float64, moments: Moments | None, shrinkage: float | None
) -> Tucker2 | AlternatingFit:
    if moments is None or not moments.count:
        return Tucker2(weight)
    c_out, c_in, kh, kw = weight.shape

    def fold(first: Matrix, core: Matrix, last: Matrix | None) -> Arrays:
        assert last is not None
        shaped = core.reshape(*core.shape[:2], kh, kw)
        return first[:, :, None, None], shaped, last[:, :, None, None]

    full = (min(c_in, c_out * kh * kw), min(c_out, c_in * kh * kw))
    return alternating_fit(spec, weight, View(c_in, kh * kw, True, fold), full, moments, shrinkage)


TUCKER2 = Kind(
    "tucker2",
    reason_unless_spatial,
    full_ranks,
    links,
    each_group(unfold),
    by_group(_factorize),
    moments="patches",
)
