"""Paired differences and ratios, intervals, verdicts: numbers in, numbers out.

Within a session a candidate is compared with its original round by round: the log ratio and
the difference of each pair are averaged by a 25% trimmed mean (the midmean: one pair in four
may be an outlier on either side), whose variance comes from the winsorised sample (Tukey and
McLaughlin 1963; Yuen 1974, Biometrika 61:165).

Across sessions (preparations) and boards a random-effects model holds, see `random_effects`.
One session alone rests on the prior that variances are pooled with: neither one degree of
freedom nor false certainty.

A sweep looks at the data while it samples, at most `EARLY_LOOKS` times a session before the
last round, and may stop on a verdict only at confidence `LOOK_CONFIDENCE` (Haybittle 1971,
Peto 1976). A session's looks spend `SPENT_BY_LOOKS` of the error rate (Bonferroni), which
`combine` takes off what is left for the published interval, so that the *overall* level is
the `confidence` asked for; tests simulate sweeps with these looks and hold the coverage.

A sweep that has time left gives undecided candidates further preparations, up to
`MAX_PREPARATIONS`, and looks at the published interval after each: a candidate that has more
than `PLANNED_PREPARATIONS` on each of its boards behind it was looked at before, so its interval
is published at `LATER_SHARE` of the error rate. Known truth on the fake device holds the overall
level.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import fields
from operator import attrgetter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .random_effects import Floats, Nesting, pool
from .records import Comparison, PairSummary, Verdict

Ratio = tuple[float, float, float]
"""A ratio and the ends of its interval."""

ESTIMATOR_VERSION = 1
"""Raised when the same samples would give other numbers: caches of derived values ask it."""

TRIM = 0.25
MIN_ROUNDS = 3
"""Fewest pairs that can be summarised."""

PRIOR_BETWEEN = 0.005
"""Prior standard deviation of the log ratio between preparations: the same layer against
itself, interleaved, stayed within 1.1% of 1 in 12 repeats, about half a percent each."""

PLANNED_PREPARATIONS = 2
"""Preparations after which a verdict is published without a further look before it."""
MAX_PREPARATIONS = 4
LATER_SHARE = 0.5

EARLY_LOOKS = 4
LOOK_CONFIDENCE = 0.999
SPENT_BY_LOOKS = EARLY_LOOKS * (1 - LOOK_CONFIDENCE)


def summarize_pairs(original_s: NDArray[Any], candidate_s: NDArray[Any]) -> PairSummary:
    """One session's paired estimates from seconds per execution, one entry per round.

    Both arrays have shape (rounds,), entry i of both from the same round. Raises `ValueError`
    for fewer than `MIN_ROUNDS` pairs, other shapes, and times that are not positive.
    """
    original, candidate = _checked(original_s, candidate_s)
    log_ratio, log_ratio_var = _trimmed_mean(np.log(original / candidate))
    saving, saving_var = _trimmed_mean(original - candidate)
    return PairSummary(
        rounds=original.size,
        log_ratio=log_ratio,
        log_ratio_var=log_ratio_var,
        saving_s=saving,
        saving_var=saving_var,
        original_s=float(np.median(original)),
        candidate_s=float(np.median(candidate)),
    )


def _checked(original_s: NDArray[Any], candidate_s: NDArray[Any]) -> tuple[Floats, Floats]:
    original = np.asarray(original_s, dtype=np.float64)
    candidate = np.asarray(candidate_s, dtype=np.float64)
    if original.ndim != 1 or original.shape != candidate.shape:
        raise ValueError(f"pairs need equal lengths, not {original.shape} and {candidate.shape}")
    if original.size < MIN_ROUNDS:
        raise ValueError(f"{original.size} rounds are too few: at least {MIN_ROUNDS}")
    for seconds in (original, candidate):
        if not (np.all(seconds > 0) and np.all(np.isfinite(seconds))):
            raise ValueError("times have to be positive and finite")
    return original, candidate


def _trimmed(rounds: int) -> int:
    """How many values are trimmed on each side."""
    return int(TRIM * rounds)


def _trimmed_mean(values: Floats) -> tuple[float, float]:
    """The trimmed mean and its variance (Yuen 1974): (n - 1) s_w^2 / (h (h - 1)), where s_w^2
    is the winsorised sample variance and h the number of values left after trimming."""
    ordered = np.sort(values)
    count, trim = ordered.size, _trimmed(ordered.size)
    left = count - 2 * trim
    centre = ordered[count // 2]
    shifted = ordered - centre  # equal values become exact zeros, so their variance is 0
    mean = float(shifted[trim : count - trim].mean())
    winsorised = np.clip(shifted, shifted[trim], shifted[count - trim - 1])
    squares = float(np.square(winsorised - winsorised.mean()).sum())
    return float(centre) + mean, squares / (left * (left - 1))


def combine(
    summaries: Sequence[PairSummary],
    confidence: float = 0.95,
    spent: float = SPENT_BY_LOOKS,
    planned: int = PLANNED_PREPARATIONS,
) -> Comparison:
    """What all sessions of a candidate say together; see the module's text for the model.

    `confidence` is the overall level of the interval, `spent` the share of the error rate
    that looks while sampling have used up (0 for data nobody looked at), `planned` how many
    preparations there were to be whatever they showed. Raises `ValueError` without summaries.
    For many candidates use `combine_many`, which is vectorised.
    """
    return combine_many([summaries], confidence, spent, planned)[0]


def combine_many(
    groups: Sequence[Sequence[PairSummary]],
    confidence: float = 0.95,
    spent: float = SPENT_BY_LOOKS,
    planned: int = PLANNED_PREPARATIONS,
    boards: Sequence[Sequence[Hashable]] | None = None,
) -> list[Comparison]:
    """`combine` for each group of summaries, in the same order, in one go.

    `boards` says on which board each session was; without it all of a group are on one. What is
    `planned` is planned for each board.
    """
    if not groups:
        return []
    sizes = np.array([len(group) for group in groups])
    if not sizes.all():
        raise ValueError("a comparison needs at least one session")
    tail = 1 - confidence - spent
    if not 0 < tail < 1:
        raise ValueError(f"confidence {confidence} with {spent} spent leaves no error rate")
    flat = _columns([summary for group in groups for summary in group])
    nesting = _nesting(groups, boards)
    tails = np.where(sizes > planned * nesting.boards, LATER_SHARE * tail, tail)
    return _comparisons(flat, nesting, tails)


def _nesting(
    groups: Sequence[Sequence[PairSummary]], boards: Sequence[Sequence[Hashable]] | None
) -> Nesting:
    """Raises `ValueError` where sessions and boards are not equally many."""
    if boards is None:
        everyone = np.arange(len(groups))
        return Nesting(np.repeat(everyone, [len(group) for group in groups]), everyone)
    seen: dict[tuple[int, Hashable], int] = {}
    board = [
        seen.setdefault((owner, name), len(seen))
        for owner, (group, names) in enumerate(zip(groups, boards, strict=True))
        for _, name in zip(group, names, strict=True)
    ]
    return Nesting(np.array(board), np.array([owner for owner, _ in seen]))


def _columns(summaries: Sequence[PairSummary]) -> Floats:
    """One row for each field of `PairSummary`, in its order."""
    values = attrgetter(*(field.name for field in fields(PairSummary)))
    return np.array([values(summary) for summary in summaries], dtype=np.float64).T


def _comparisons(flat: Floats, nesting: Nesting, tails: Floats) -> list[Comparison]:
    rounds, log_ratio, log_var, saving, saving_var, original_s, candidate_s = flat
    between = np.full_like(log_ratio, PRIOR_BETWEEN)
    degrees = rounds - 2 * np.floor(TRIM * rounds) - 1
    owner, sizes = nesting.owner[nesting.board], nesting.sessions
    ratio, ratio_half = pool(log_ratio, log_var, degrees, between, nesting, tails)
    scale = between * np.maximum(original_s, candidate_s)
    saved, saved_half = pool(saving, saving_var, degrees, scale, nesting, tails)
    columns = np.stack(
        [
            *np.exp([ratio, ratio - ratio_half, ratio + ratio_half]),
            *(saved, saved - saved_half, saved + saved_half),
            np.bincount(owner, original_s) / sizes,
            np.bincount(owner, candidate_s) / sizes,
        ]
    )
    counts = np.stack([sizes, np.bincount(owner, rounds).astype(np.intp)])
    return [
        Comparison(*numbers, *whole)
        for numbers, whole in zip(columns.T.tolist(), counts.T.tolist(), strict=True)
    ]


def product(first: Ratio, second: Ratio) -> Ratio:
    """Return the product of two ratios that were measured apart: how far their ends lie away, in
    logarithms, adds up as of independent errors."""
    value = first[0] * second[0]
    low, high = (
        math.hypot(*(math.log(one[end] / one[0]) for one in (first, second))) for end in (1, 2)
    )
    return value, value * math.exp(-low), value * math.exp(high)


def inverse(ratio: Ratio) -> Ratio:
    """Return what it is the other way round."""
    value, low, high = ratio
    return 1 / value, 1 / high, 1 / low


def verdict(low: float, high: float, margin: float = 0.01) -> Verdict:
    """What the interval [low, high] of a speedup says, `margin` being what is thought to
    matter: entirely above, entirely below, entirely inside [1/(1+margin), 1+margin], or none."""
    upper = 1 + margin
    if low > upper:
        return Verdict.FASTER
    if high < 1 / upper:
        return Verdict.SLOWER
    if low >= 1 / upper and high <= upper:
        return Verdict.SAME
    return Verdict.UNDECIDED
