"""Branched Tucker: Tucker-2 with a core of b groups, that is, a sum of b small Tucker-2.

arXiv 2407.20266 branches the core for the sake of speed; as mathematics it is a decomposition in
block terms (De Lathauwer, 2008), fitted by alternating least squares (De Lathauwer and Nion,
2008). It has no closed form, so there are two starts: branches fitted one after the other, each
to what those before it left, and the diagonal blocks of the HOSVD's core.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from ..records import LayerSpec
from .algebra import Matrix, least_squares
from .moments import OutputMoments
from .tucker import Tucker2

Arrays = tuple[NDArray[np.float64], ...]
Tensor = NDArray[np.float64]
Ranks = tuple[int, ...]

MAX_SWEEPS = 60
TOLERANCE = 1e-5
"""Sweeps end when the relative error falls by less than this."""
EXACT = 1e-10


@dataclass(frozen=True, slots=True)
class Branches:
    """`out` (b, C_out, p), `cores` (b, p, positions, q), `into` (b, C_in, q)."""

    out: Tensor
    cores: Tensor
    into: Tensor

    @property
    def rebuilt(self) -> Tensor:
        """(C_out, positions, C_in), the sum of all branches."""
        total = sum(map(_product, self.out, self.cores, self.into))
        return np.asarray(total)


def _product(out: Matrix, core: Tensor, into: Matrix) -> Tensor:
    half = core @ into.T
    result: Tensor = (out @ half.reshape(len(core), -1)).reshape(len(out), *half.shape[1:])
    return result


class BranchedTucker:
    """One weight (C_out, C_in, kh, kw) in a number of branches, at the ranks asked for."""

    def __init__(self, weight: NDArray[np.float64], branches: int) -> None:
        self.branches = branches
        self.kernel = weight.shape[2:]
        self._whole = Tucker2(weight)
        c_out, c_in = weight.shape[:2]
        self._tensor = np.ascontiguousarray(weight.reshape(c_out, c_in, -1).transpose(0, 2, 1))
        self._norm = float(np.linalg.norm(weight))
        self._found: dict[Ranks, tuple[Branches, float]] = {}

    def weights(self, ranks: Ranks) -> Arrays:
        """1x1 (r_in, C_in), core (r_out, r_in / b, kh, kw) with b groups, 1x1 (C_out, r_out)."""
        found = self._best(ranks)[0]
        c_out, c_in = found.out.shape[1], found.into.shape[1]
        core = found.cores.transpose(0, 1, 3, 2).reshape(ranks[1], -1, *self.kernel)
        first = found.into.transpose(0, 2, 1).reshape(ranks[0], c_in, 1, 1)
        last = found.out.transpose(1, 0, 2).reshape(c_out, ranks[1], 1, 1)
        return first, core, last

    def bias(self, ranks: Ranks, bias: NDArray[np.float64]) -> NDArray[np.float64]:
        return bias

    def error(self, ranks: Ranks) -> float:
        """Relative Frobenius error, from the residual itself."""
        return self._best(ranks)[1]

    def estimate(self, ranks: Ranks) -> float:
        """An upper bound, free for every pair of ranks: the better of one branch alone and of
        the diagonal blocks of the HOSVD's core."""
        one = self._whole.estimate(self._of_branch(ranks))
        return min(one, self._diagonal_error(ranks)) if self._has_diagonal(ranks) else one

    def _of_branch(self, ranks: Ranks) -> Ranks:
        return tuple(rank // self.branches for rank in ranks)

    def _has_diagonal(self, ranks: Ranks) -> bool:
        full = (basis.shape[1] for basis in self._whole.hosvd)
        return all(rank <= limit for rank, limit in zip(ranks, full, strict=True))

    @cached_property
    def _core(self) -> Tensor:
        """The HOSVD's core at full ranks, (r_out, positions, r_in)."""
        basis_in, basis_out = self._whole.hosvd
        half = (basis_out.T @ self._tensor.reshape(len(self._tensor), -1)).reshape(
            basis_out.shape[1], *self._tensor.shape[1:]
        )
        core: Tensor = half @ basis_in
        return core

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
        if ranks not in self._found:
            starts = self._starts(ranks)
            judged = [(one, self._lost(one)) for one in starts]
            if min(error for _, error in judged) > EXACT:
                judged += [(swept, self._lost(swept)) for swept in map(self._swept, starts)]
            self._found[ranks] = min(judged, key=lambda pair: pair[1])
        return self._found[ranks]

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
        return Branches(*(np.stack(part) for part in zip(*parts, strict=True)))

    def _diagonal(self, ranks: Ranks) -> Branches:
        basis_in, basis_out = self._whole.hosvd
        size_in, size_out = self._of_branch(ranks)
        parts = []
        for branch in range(self.branches):
            rows = slice(branch * size_out, (branch + 1) * size_out)
            columns = slice(branch * size_in, (branch + 1) * size_in)
            parts.append((basis_out[:, rows], self._core[rows, :, columns], basis_in[:, columns]))
        return Branches(*(np.stack(part) for part in zip(*parts, strict=True)))

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
        return Branches(
            _split(least_squares(rows @ rows.T, seen), current.out), current.cores, current.into
        )

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
        return Branches(current.out, current.cores, into)

    def _new_cores(self, current: Branches) -> Branches:
        parts = [
            _orthonormal(*part)
            for part in zip(current.out, current.cores, current.into, strict=True)
        ]
        left = self._tensor - _sum(_product(*part) for part in parts)
        for branch, (out, core, into) in enumerate(parts):
            without = left + _product(out, core, into)
            core = _projected(without, out, into)
            left = without - _product(out, core, into)
            parts[branch] = (out, core, into)
        return Branches(*(np.stack(part) for part in zip(*parts, strict=True)))


def _sum(tensors: Iterable[Tensor]) -> Tensor:
    return np.asarray(sum(tensors))


def _projected(tensor: Tensor, out: Matrix, into: Matrix) -> Tensor:
    """The core (p, positions, q) on orthonormal bases."""
    half = (out.T @ tensor.reshape(len(tensor), -1)).reshape(out.shape[1], *tensor.shape[1:])
    core: Tensor = half @ into
    return core


def _orthonormal(out: Matrix, core: Tensor, into: Matrix) -> tuple[Matrix, Tensor, Matrix]:
    """The same branch with orthonormal bases; what they were goes into the core."""
    basis_out, turn_out = np.linalg.qr(out)
    basis_in, turn_in = np.linalg.qr(into)
    turned = (turn_out @ core.reshape(len(core), -1)).reshape(-1, *core.shape[1:]) @ turn_in.T
    return basis_out, turned, basis_in


def _split(rows: Matrix, like: Tensor) -> Tensor:
    """From (b*p, C) to (b, C, p)."""
    branches, channels, size = like.shape
    return rows.reshape(branches, size, channels).transpose(0, 2, 1)


def branched_tucker(
    branches: int,
    spec: LayerSpec,
    weight: NDArray[np.float64],
    moments: OutputMoments | None,
    shrinkage: float | None,
) -> BranchedTucker:
    """From the weights alone."""
    return BranchedTucker(weight, branches)
