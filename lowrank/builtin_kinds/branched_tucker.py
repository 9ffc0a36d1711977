"""branched_tucker: Tucker-2 with a core of b groups, that is, a sum of b small Tucker-2.

arXiv 2407.20266 branches the core for the sake of speed; as mathematics it is a decomposition in
block terms (De Lathauwer, 2008), fitted by alternating least squares (De Lathauwer and Nion,
2008). It has no closed form, so there are two starts: branches fitted one after the other, each
to what those before it left, and the diagonal blocks of the HOSVD's core. With moments of the
patches see `turned_inputs`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property, partial

import numpy as np

from ...records import LayerSpec
from ..algebra import Matrix, least_squares
from ..kinds import Arrays, Float64, Kind
from ..moments import Moments
from ..shapes import Links, Ranks, reason_unless_spatial
from ..turned_inputs import TurnedInputs, turned_inputs
from . import tucker2
from .tucker2 import Tucker2

MAX_SWEEPS = 60
TOLERANCE = 1e-5
"""Sweeps end when the relative error falls by less than this."""
EXACT = 1e-10


@dataclass(frozen=True, slots=True)
class Branches:
    """`out` (b, C_out, p), `cores` (b, p, positions, q), `into` (b, C_in, q)."""

    out: Float64
    cores: Float64
    into: Float64

    @classmethod
    def of(cls, parts: Iterable[tuple[Matrix, Float64, Matrix]]) -> Branches:
        """The branches put together; each is (output basis, core, input basis)."""
        return cls(*(np.stack(part) for part in zip(*parts, strict=True)))

    @property
    def rebuilt(self) -> Float64:
        """(C_out, positions, C_in), the sum of all branches."""
        return np.asarray(sum(map(_product, self.out, self.cores, self.into)))


def _product(out: Matrix, core: Float64, into: Matrix) -> Float64:
    half = core @ into.T
    result: Float64 = (out @ half.reshape(len(core), -1)).reshape(len(out), *half.shape[1:])
    return result


class BranchedTucker:
    """One weight (C_out, C_in, kh, kw) in a number of branches, at the ranks asked for."""

    def __init__(self, weight: Float64, branches: int) -> None:
        self.branches = branches
        self.kernel = weight.shape[2:]
        self._whole = Tucker2(weight)
        c_out, c_in = weight.shape[:2]
        self._tensor = np.ascontiguousarray(weight.reshape(c_out, c_in, -1).transpose(0, 2, 1))
        self._norm = float(np.linalg.norm(weight))
        self._fitted: dict[Ranks, tuple[Branches, float]] = {}

    def weights(self, ranks: Ranks) -> Arrays:
        """1x1 (r_in, C_in), core (r_out, r_in / b, kh, kw) with b groups, 1x1 (C_out, r_out)."""
        return self._links(self._best(ranks)[0], ranks)

    def start_weights(self, ranks: Ranks) -> Arrays:
        """Those of which `estimate` is the error."""
        return self._links(self._quick_start(ranks), ranks)

    def _links(self, best: Branches, ranks: Ranks) -> Arrays:
        c_out, c_in = best.out.shape[1], best.into.shape[1]
        core = best.cores.transpose(0, 1, 3, 2).reshape(ranks[1], -1, *self.kernel)
        first = best.into.transpose(0, 2, 1).reshape(ranks[0], c_in, 1, 1)
        last = best.out.transpose(1, 0, 2).reshape(c_out, ranks[1], 1, 1)
        return first, core, last

    def bias(self, _ranks: Ranks, bias: Float64) -> Float64:
        return bias

    def error(self, ranks: Ranks) -> float:
        """Relative Frobenius error, from the residual itself."""
        return self._best(ranks)[1]

    def estimate(self, ranks: Ranks) -> float:
        """An upper bound, free for every pair of ranks: of the diagonal blocks of the HOSVD's
        core, of which one branch alone would be the first."""
        if self._has_diagonal(ranks):
            return self._diagonal_error(ranks)
        return self._whole.estimate(self._of_branch(ranks))

    def _quick_start(self, ranks: Ranks) -> Branches:
        return self._diagonal(ranks) if self._has_diagonal(ranks) else self._one_alone(ranks)

    def _one_alone(self, ranks: Ranks) -> Branches:
        """A truncated HOSVD in the first branch; the others are zero."""
        basis_in, basis_out = self._whole.hosvd
        size_in, size_out = self._of_branch(ranks)
        core = self._core[:size_out, :, :size_in]
        first = basis_out[:, :size_out], core, basis_in[:, :size_in]
        nothing = np.zeros_like(first[0]), np.zeros_like(core), np.zeros_like(first[2])
        return Branches.of([first, *[nothing] * (self.branches - 1)])

    def _of_branch(self, ranks: Ranks) -> Ranks:
        return tuple(rank // self.branches for rank in ranks)

    def _has_diagonal(self, ranks: Ranks) -> bool:
        full = (basis.shape[1] for basis in self._whole.hosvd)
        return all(rank <= limit for rank, limit in zip(ranks, full, strict=True))

    @cached_property
    def _core(self) -> Float64:
        """The HOSVD's core at full ranks, (r_out, positions, r_in)."""
        basis_in, basis_out = self._whole.hosvd
        return _projected(self._tensor, basis_out, basis_in)

    @cached_property
    def _energy_sums(self) -> Matrix:
        """Energy of the core's rows before i and columns before j, (r_out + 1, r_in + 1)."""
        energy = np.einsum("okc,okc->oc", self._core, self._core)
        return np.pad(energy, ((1, 0), (1, 0))).cumsum(axis=0).cumsum(axis=1)

    def _diagonal_error(self, ranks: Ranks) -> float:
        if not self._norm:
            return 0.0
        size_in, size_out = self._of_branch(ranks)
        rows, columns = size_out * np.arange(self.branches), size_in * np.arange(self.branches)
        sums = self._energy_sums
        kept = (
            sums[rows + size_out, columns + size_in]
            - sums[rows, columns + size_in]
            - sums[rows + size_out, columns]
            + sums[rows, columns]
        ).sum()
        return math.sqrt(min(max(1 - float(kept) / self._norm**2, 0.0), 1.0))

    def _best(self, ranks: Ranks) -> tuple[Branches, float]:
        if ranks not in self._fitted:
            starts = self._starts(ranks)
            fits = [(one, self._lost(one)) for one in starts]
            if min(error for _, error in fits) > EXACT:
                fits += [(swept, self._lost(swept)) for swept in map(self._swept, starts)]
            self._fitted[ranks] = min(fits, key=lambda pair: pair[1])
        return self._fitted[ranks]

    def _lost(self, one: Branches) -> float:
        if not self._norm:
            return 0.0
        return min(float(np.linalg.norm(self._tensor - one.rebuilt)) / self._norm, 1.0)

    def _starts(self, ranks: Ranks) -> list[Branches]:
        starts = [self._one_by_one(ranks)]
        if self.branches > 1 and self._has_diagonal(ranks):
            starts.append(self._diagonal(ranks))
        return starts

    def _one_by_one(self, ranks: Ranks) -> Branches:
        """Each branch a Tucker-2 of what the branches before it have left."""
        left, parts = self._tensor, []
        for _ in range(self.branches):
            c_out, positions, c_in = left.shape
            weight = left.transpose(0, 2, 1).reshape(c_out, c_in, positions, 1)
            into, out = Tucker2(weight).bases(self._of_branch(ranks))
            core = _projected(left, out, into)
            left = left - _product(out, core, into)
            parts.append((out, core, into))
        return Branches.of(parts)

    def _diagonal(self, ranks: Ranks) -> Branches:
        basis_in, basis_out = self._whole.hosvd
        size_in, size_out = self._of_branch(ranks)
        parts = []
        for branch in range(self.branches):
            rows = slice(branch * size_out, (branch + 1) * size_out)
            columns = slice(branch * size_in, (branch + 1) * size_in)
            parts.append((basis_out[:, rows], self._core[rows, :, columns], basis_in[:, columns]))
        return Branches.of(parts)

    def _swept(self, start: Branches) -> Branches:
        """Alternating least squares: all output bases at once, all input bases at once, then
        each branch's core with the others held. No step makes the error larger."""
        current, before = start, math.inf
        for _ in range(MAX_SWEEPS):
            current = self._new_cores(self._new_into(self._new_out(current)))
            error = self._lost(current)
            if before - error < TOLERANCE:
                break
            before = error
        return current

    def _new_out(self, current: Branches) -> Branches:
        rows = np.concatenate(
            [
                (core @ into.T).reshape(len(core), -1)
                for core, into in zip(current.cores, current.into, strict=True)
            ]
        )
        seen = rows @ self._tensor.reshape(len(self._tensor), -1).T
        out = _split(least_squares(rows @ rows.T, seen), current.out)
        return replace(current, out=out)

    def _new_into(self, current: Branches) -> Branches:
        columns = np.concatenate(
            [
                (out @ core.reshape(len(core), -1)).reshape(-1, core.shape[-1])
                for out, core in zip(current.out, current.cores, strict=True)
            ],
            axis=1,
        )
        seen = columns.T @ self._tensor.reshape(-1, self._tensor.shape[-1])
        into = _split(least_squares(columns.T @ columns, seen), current.into)
        return replace(current, into=into)

    def _new_cores(self, current: Branches) -> Branches:
        parts = list(map(_orthonormal, current.out, current.cores, current.into))
        left = self._tensor - Branches.of(parts).rebuilt
        for branch, (out, core, into) in enumerate(parts):
            without = left + _product(out, core, into)
            core = _projected(without, out, into)
            left = without - _product(out, core, into)
            parts[branch] = (out, core, into)
        return Branches.of(parts)


def _projected(tensor: Float64, out: Matrix, into: Matrix) -> Float64:
    """The core (p, positions, q) on orthonormal bases."""
    half = (out.T @ tensor.reshape(len(tensor), -1)).reshape(out.shape[1], *tensor.shape[1:])
    core: Float64 = half @ into
    return core


def _orthonormal(out: Matrix, core: Float64, into: Matrix) -> tuple[Matrix, Float64, Matrix]:
    """The same branch with orthonormal bases; what they were goes into the core."""
    basis_out, turn_out = np.linalg.qr(out)
    basis_in, turn_in = np.linalg.qr(into)
    turned = (turn_out @ core.reshape(len(core), -1)).reshape(-1, *core.shape[1:]) @ turn_in.T
    return basis_out, turned, basis_in


def _split(rows: Matrix, like: Float64) -> Float64:
    """From (b*p, C) to (b, C, p)."""
    branches, channels, size = like.shape
    return rows.reshape(branches, size, channels).transpose(0, 2, 1)


def _applies(spec: LayerSpec) -> str:
    return reason_unless_spatial(spec) or ("grouped convolution" if spec.groups > 1 else "")


def _full_ranks(branches: int, spec: LayerSpec) -> Ranks:
    """A branch is a Tucker-2 of its own, with ranks up to Tucker-2's."""
    rank_in, rank_out = tucker2.full_ranks(spec)
    return branches * rank_in, branches * rank_out


def _links(branches: int, spec: LayerSpec, ranks: Ranks) -> Links:
    """As tucker2, with a core of as many groups as there are branches."""
    first, core, last = tucker2.links(spec, ranks)
    return first, replace(core, groups=branches), last


def _rank_step(branches: int, _spec: LayerSpec) -> int:
    """What ranks are multiples of: each branch has as many."""
    return branches


def _factorize(
    branches: int,
    spec: LayerSpec,
    weight: Float64,
    moments: Moments | None,
    shrinkage: float | None,
) -> BranchedTucker | TurnedInputs:
    fit = partial(BranchedTucker, branches=branches)
    if moments is None or not moments.count:
        return fit(weight)
    grid = _full_ranks(branches, spec), branches
    return turned_inputs(spec, weight, grid, fit, moments, shrinkage)


def _in_branches(branches: int) -> Kind:
    """The kind with that many branches; a single one is tucker2's chain."""
    return Kind(
        "branched_tucker",
        _applies,
        partial(_full_ranks, branches),
        partial(_links, branches),
        tucker2.unfold,
        partial(_factorize, branches),
        rank_step=partial(_rank_step, branches),
        branch=_in_branches,
        groups=branches,
        branchings=(2, 4),
        moments="patches",
        by_default=False,
    )


BRANCHED_TUCKER = _in_branches(1)
