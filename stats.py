"""Paired differences and ratios, intervals, verdicts: numbers in, numbers out.

Within a session a candidate is compared with its original round by round: the log ratio and
the difference of each pair are averaged by a 25% trimmed mean (the midmean: one pair in four
may be an outlier on either side), whose variance comes from the winsorised sample (Tukey and
McLaughlin 1963; Yuen 1974, Biometrika 61:165).

Across sessions (preparations) a random-effects model holds: session j's estimate is
y_j ~ N(truth, tau^2 + v_j), v_j its variance within the session, tau the standard deviation
between preparations (alignment, pages, heap). The general method of moments (DerSimonian and
Kacker 2007) estimates tau^2 from m - 1 degrees of freedom; as m is two or three, it is pooled
with a prior (`PRIOR_BETWEEN`^2 + `PRIOR_SHARE` v_j, worth `PRIOR_DF` degrees of freedom), the
way Smyth (2004) moderates variances. The interval is Student's, with Satterthwaite's degrees
of freedom for the sum tau^2 + v_j. One session alone rests on the prior: neither one degree
of freedom nor false certainty.

A sweep looks at the data while it samples, at most `EARLY_LOOKS` times a session before the
last round, and may stop on a verdict only at confidence `LOOK_CONFIDENCE` (Haybittle 1971,
Peto 1976). A session's looks spend `SPENT_BY_LOOKS` of the error rate (Bonferroni), which
`combine` takes off what is left for the published interval, so that the *overall* level is
the `confidence` asked for; tests simulate sweeps with these looks and hold the coverage.

A sweep that has time left gives undecided candidates further preparations, up to
`MAX_PREPARATIONS`, and looks at the published interval after each: a candidate that has more
than `PLANNED_PREPARATIONS` behind it was looked at before, so its interval is published at
`LATER_SHARE` of the error rate. Known truth on the fake device holds the overall level.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from functools import partial
from operator import attrgetter
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .records import Comparison, PairSummary, Verdict

ESTIMATOR_VERSION = 1
"""Raised when the same samples would give other numbers: caches of derived values ask it."""

TRIM = 0.25
MIN_ROUNDS = 3
"""Fewest pairs that can be summarised."""

PRIOR_BETWEEN = 0.005
"""Prior standard deviation of the log ratio between preparations: the same layer against
itself, interleaved, stayed within 1.1% of 1 in 12 repeats, about half a percent each."""
PRIOR_DF = 6.0
PRIOR_SHARE = 1.0
"""What disturbs a machine within a session disturbs it between sessions, too: the prior
variance grows by this share of the session's own. On a busy two-core machine, intervals from
two sessions held the mean of six other sessions of the same candidate in 71% to 75% of the
cases without it and in 85% with it (an exact 95% interval does in about 89%, since six
sessions know the truth only roughly); on a calmer one in 88% and 92%."""

PLANNED_PREPARATIONS = 2
"""Preparations after which a verdict is published without a further look before it."""
MAX_PREPARATIONS = 4
LATER_SHARE = 0.5

EARLY_LOOKS = 4
LOOK_CONFIDENCE = 0.999
SPENT_BY_LOOKS = EARLY_LOOKS * (1 - LOOK_CONFIDENCE)

Floats = NDArray[np.float64]


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
) -> list[Comparison]:
    """`combine` for each group of summaries, in the same order, in one go."""
    if not groups:
        return []
    sizes = np.array([len(group) for group in groups])
    if not sizes.all():
        raise ValueError("a comparison needs at least one session")
    tail = 1 - confidence - spent
    if not 0 < tail < 1:
        raise ValueError(f"confidence {confidence} with {spent} spent leaves no error rate")
    flat = _columns([summary for group in groups for summary in group])
    owner = np.repeat(np.arange(len(groups)), sizes)
    tails = np.where(sizes > planned, LATER_SHARE * tail, tail)
    return _comparisons(flat, owner, sizes, tails)


def _columns(summaries: Sequence[PairSummary]) -> Floats:
    """One row for each field of `PairSummary`, in its order."""
    values = attrgetter(*(field.name for field in fields(PairSummary)))
    return np.array([values(summary) for summary in summaries], dtype=np.float64).T


def _comparisons(
    flat: Floats, owner: NDArray[np.intp], sizes: NDArray[np.intp], tails: Floats
) -> list[Comparison]:
    rounds, log_ratio, log_var, saving, saving_var, original_s, candidate_s = flat
    between = np.full_like(log_ratio, PRIOR_BETWEEN)
    degrees = rounds - 2 * np.floor(TRIM * rounds) - 1
    ratio, ratio_half = _pool(log_ratio, log_var, degrees, between, owner, tails)
    scale = between * np.maximum(original_s, candidate_s)
    saved, saved_half = _pool(saving, saving_var, degrees, scale, owner, tails)
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


def _total(owner: NDArray[np.intp], values: Floats) -> Floats:
    """The sum of each owner's values."""
    return np.asarray(np.bincount(owner, values), dtype=np.float64)


def _pool(
    estimates: Floats,
    variances: Floats,
    degrees: Floats,
    prior_sd: Floats,
    owner: NDArray[np.intp],
    tails: Floats,
) -> tuple[Floats, Floats]:
    """Random-effects mean and half-width for each owner; see the module's text."""
    total = partial(_total, owner)
    sessions = np.bincount(owner)
    prior = total(np.square(prior_sd) + PRIOR_SHARE * variances) / sessions
    between_df = PRIOR_DF + sessions - 1
    moment = _between(estimates, variances, prior, owner)
    between = (PRIOR_DF * prior + (sessions - 1) * moment) / between_df
    weights = 1 / (between[owner] + variances)
    shares = weights / total(weights)[owner]
    within = np.square(shares) * variances
    shared = total(np.square(shares)) * between
    variance = shared + total(within)
    df = variance**2 / (shared**2 / between_df + total(within**2 / degrees))
    centre = total(shares * estimates)
    quantile = np.empty_like(df)
    for tail in np.unique(tails):
        quantile[tails == tail] = t_quantile(float(tail), df[tails == tail])
    return centre, quantile * np.sqrt(variance)


def _between(
    estimates: Floats, variances: Floats, prior: Floats, owner: NDArray[np.intp]
) -> Floats:
    """Variance between sessions by the general method of moments (DerSimonian and Kacker
    2007, eq. 6), weights from the prior; 0 where there is one session."""
    total = partial(_total, owner)
    weights = 1 / (prior[owner] + variances)
    sums, squares = total(weights), total(weights**2)
    centre = total(weights * estimates) / sums
    spread = total(weights * np.square(estimates - centre[owner]))
    expected = total(weights * variances) - total(weights**2 * variances) / sums
    scale = sums - squares / sums
    several = np.bincount(owner) > 1
    excess = np.divide(spread - expected, scale, out=np.zeros_like(sums), where=several)
    return np.maximum(excess, 0)


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


def t_quantile(tail: float, df: NDArray[Any] | float) -> Floats:
    """The t for which P(|T| > t) = `tail` under Student's distribution with `df` degrees.

    Hill (1970), Algorithm 396, CACM 13:619, for real df >= 2; within 1e-3 of the true value
    there for tails from 1e-4 to 0.5. SciPy has it, but takes too long to import for a table.
    """
    n = np.atleast_1d(np.asarray(df, dtype=np.float64))
    a = 1 / (n - 0.5)
    b = 48 / a**2
    c = ((20700 * a / b - 98) * a - 16) * a + 96.36
    d = ((94.5 / (b + c) - 3) / b + 1) * np.sqrt(a * np.pi / 2) * n
    y = (d * tail) ** (2 / n)
    squared = np.where(y > 0.05 + a, _hill_body(tail, n, a, b, c, d), _hill_tail(n, d, y))
    exact = 2 / (tail * (2 - tail)) - 2
    return np.sqrt(np.where(n == 2, exact, n * squared))


def _hill_body(tail: float, n: Floats, a: Floats, b: Floats, c: Floats, d: Floats) -> Floats:
    x = NormalDist().inv_cdf(tail / 2)
    y = x * x
    c = c + np.where(n < 5, 0.3 * (n - 4.5) * (x + 0.6), 0)
    c = (((0.05 * d * x - 5) * x - 7) * x - 2) * x + b + c
    z = (((((0.4 * y + 6.3) * y + 36) * y + 94.5) / c - y - 3) / b + 1) * x
    return np.asarray(np.expm1(np.minimum(a * z * z, 700)))


def _hill_tail(n: Floats, d: Floats, y: Floats) -> Floats:
    inner = ((n + 6) / (n * y) - 0.089 * d - 0.822) * (n + 2) * 3
    return np.asarray(((1 / inner + 0.5 / (n + 4)) * y - 1) * (n + 1) / (n + 2) + 1 / y)
