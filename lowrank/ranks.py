"""Which ranks to take: by parameters, by VBMF, by energy; weakened and rounded to a quantum.

Each rule exists for single numbers and for a layer (one rank for each unfolding of its kind).
Ranks of a grouped layer, and of a branched kind, are multiples of its groups: all groups get
the rank of the one that needs most. `rank_rule` makes one decision out of a rule.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from ..errors import LayerError
from ..records import Decomposition, LayerSpec
from .algebra import singular_energies, tail_errors
from .factorizer import factorizer, full_ranks, lower, rank_step
from .moments import Moments
from .registry import find_kind
from .shapes import Ranks, with_sides
from .vbmf import evbmf

Rounding = Literal["nearest", "down", "up"]


def pr_rank(
    spec: LayerSpec, kind: str, ratio: float, beta: float | None = None, groups: int = 1
) -> Ranks:
    """Parameter reduction: the largest ranks whose chain has at most params / ratio weights.

    Biases are not counted. For two ranks `r_out = beta * r_in`, each limited to its full rank;
    `beta` defaults to MUSCO's max(0.8 * C_out / C_in, 1) (msModelSlim takes 1). Each rank is
    at least the least possible, even where that is too many parameters. Raises `LayerError`.
    """
    if not (np.isfinite(ratio) and ratio > 0):
        raise LayerError(f"a parameter reduction must be a positive number, not {ratio}")
    full, step = full_ranks(spec, kind, groups), rank_step(spec, kind, groups)
    if beta is None:
        beta = max(0.8 * spec.out_channels / spec.in_channels, 1.0)
    if not (np.isfinite(beta) and beta > 0):
        raise LayerError(f"beta must be a positive number, not {beta}")
    allowed = _weight_count(spec, Decomposition()) / ratio
    # The count grows with the first rank, so bisection finds the largest that fits.
    fits, fails = 0, full[0] // step + 1 if full else 1
    while fails - fits > 1:
        middle = (fits + fails) // 2
        ranks = _scaled(middle, beta, full, step)
        if _weight_count(spec, Decomposition(kind, ranks, groups)) <= allowed:
            fits = middle
        else:
            fails = middle
    return _scaled(max(fits, 1), beta, full, step)


def _scaled(steps: int, beta: float, full: Ranks, step: int) -> Ranks:
    first = steps * step
    wanted = (first, *(max(step, int(beta * first) // step * step) for _ in full[1:]))
    return tuple(min(r, limit) for r, limit in zip(wanted, full, strict=False))


def _weight_count(spec: LayerSpec, decomposition: Decomposition) -> int:
    links = lower(spec, decomposition).links
    return sum(link.params - (link.out_channels if link.bias else 0) for link in links)


def energy_rank(errors: NDArray[Any], threshold: float) -> int:
    """The smallest rank >= 1 that keeps at least `threshold` (in (0, 1]) of the energy.

    `errors` (full + 1,) are relative errors at ranks 0 to full (`Factorizer.errors_by_rank`); the
    kept energy is 1 - error^2.
    """
    if not 0 < threshold <= 1:
        raise LayerError(f"an energy threshold must be above 0 and at most 1, not {threshold}")
    lost = np.asarray(errors, dtype=np.float64) ** 2
    # The last error is zero up to rounding: full rank keeps everything.
    enough = np.flatnonzero(lost[:-1] <= 1 - threshold)
    return max(1, int(enough[0])) if len(enough) else len(lost) - 1


def energy_ranks(
    spec: LayerSpec,
    kind: str,
    weight: NDArray[Any],
    threshold: float,
    moments: Moments | None = None,
    groups: int = 1,
) -> Ranks:
    """`energy_rank` for each rank of a kind: of the output where the kind uses moments and
    they are given, else of each unfolding of the weight. (cp: of the terms it starts from.)"""
    full, step = full_ranks(spec, kind, groups), rank_step(spec, kind, groups)
    if len(full) == 1:
        curve = factorizer(spec, kind, weight, None, moments, groups=groups).errors_by_rank()
        return (_stepped(energy_rank(curve, threshold), step, full[0]),)
    wanted = [
        max(energy_rank(tail_errors(singular_energies(one)), threshold) for one in matrices)
        * len(matrices)
        for matrices in _unfoldings(spec, kind, weight)
    ]
    return tuple(_stepped(rank, step, limit) for rank, limit in zip(wanted, full, strict=True))


def _stepped(rank: int, step: int, full: int) -> int:
    """The next possible rank from `rank` on."""
    return min(-(-rank // step) * step, full)


def _unfoldings(
    spec: LayerSpec, kind: str, weight: NDArray[Any]
) -> tuple[NDArray[np.float64], ...]:
    """For each rank (groups, rows, columns); one matrix where the layer is not grouped."""
    full_ranks(spec, kind)
    if weight.shape != spec.weight_shape:
        raise LayerError(f"the weight has shape {weight.shape}, the layer {spec.weight_shape}")
    seen = with_sides(spec, np.asarray(weight, dtype=np.float64))
    unfolded = find_kind(kind).unfold(spec, seen)
    return tuple(one if one.ndim == 3 else one[None] for one in unfolded)


def spectra(spec: LayerSpec, kind: str, weight: NDArray[Any]) -> tuple[NDArray[np.float64], ...]:
    """For each rank of the kind the singular values, falling, of what that rank limits; of a
    grouped layer those of all groups together."""
    return tuple(
        np.sort(np.concatenate([np.sqrt(singular_energies(one)) for one in matrices]))[::-1]
        for matrices in _unfoldings(spec, kind, weight)
    )


def weaken(full: int, vbmf: int, k: float = 0.8, min_rank: int = 21) -> int:
    """A VBMF rank moved towards full rank: `int(full - k * (full - vbmf))`, at least `min_rank`.

    k = 1 is pure VBMF, k = 0 no compression. Full rank stays where VBMF found nothing (0) or
    where it is at most `min_rank`. Rule and defaults: MUSCO `rank_selection/estimator.py`.
    """
    if not 0 <= k <= 1:
        raise LayerError(f"a weakening factor must be between 0 and 1, not {k}")
    if vbmf == 0 or full <= min_rank:
        return full
    return max(int(full - k * (full - vbmf)), min_rank)


def vbmf_ranks(
    spec: LayerSpec,
    kind: str,
    weight: NDArray[Any],
    k: float = 0.8,
    min_rank: int = 21,
    groups: int = 1,
) -> Ranks:
    """Weakened EVBMF ranks of each unfolding of the weight."""
    full, step = full_ranks(spec, kind, groups), rank_step(spec, kind, groups)
    wanted = [
        weaken(
            len(matrices) * min(matrices.shape[1:]),
            len(matrices) * max(evbmf(one)[0] for one in matrices),
            k,
            min_rank,
        )
        for matrices in _unfoldings(spec, kind, weight)
    ]
    return tuple(_stepped(rank, step, limit) for rank, limit in zip(wanted, full, strict=True))


def quantize(rank: int, quantum: int, full: int, how: Rounding = "nearest") -> int | None:
    """The multiple of `quantum` next to `rank`, within quantum..full; a tie goes up.

    None where full rank is below the quantum: there is no such multiple, drop the candidate.
    """
    if quantum < 1:
        raise LayerError(f"a rank quantum must be at least 1, not {quantum}")
    if full < quantum:
        return None
    shifts = {"nearest": quantum // 2, "down": 0, "up": quantum - 1}
    if how not in shifts:
        raise LayerError(f"ranks are rounded nearest, down or up, not {how!r}")
    steps = (rank + shifts[how]) // quantum
    return quantum * min(max(steps, 1), full // quantum)
