"""Means of estimates that differ by more than their own errors: sessions, nested in boards.

Session j on board i gives y_ij = truth + b_i + s_ij + e_ij. The error e_ij has the variance v_ij
that the session knows of itself; s_ij is what its preparation drew (alignment, pages, heap), with
variance tau^2; b_i is what the board is, with variance sigma^2: this is three-level meta-analysis
(Konstantopoulos 2011, Research Synthesis Methods 2:61). Both variances come from the general
method of moments (DerSimonian and Kacker 2007, eq. 6), the one from what sessions of one board
say, the other from the boards' means; with equally many equally good sessions a board this is the
textbook's nested analysis of variance, and restricted maximum likelihood says the same. Each is
pooled with a prior, the way Smyth (2004) moderates variances. The interval is Student's, with
Satterthwaite's degrees of freedom for the sum of all three.

One board alone has no sigma^2: nobody then knows of other boards, and the interval is of this one.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

PRIOR_DF = 6.0
PRIOR_SHARE = 1.0
"""What disturbs a machine within a session disturbs it between sessions, too: the prior
variance grows by this share of the session's own. On a busy two-core machine, intervals from
two sessions held the mean of six other sessions of the same candidate in 71% to 75% of the
cases without it and in 85% with it (an exact 95% interval does in about 89%, since six
sessions know the truth only roughly); on a calmer one in 88% and 92%."""
BOARD_SHARE = 3.0
"""Prior standard deviation between boards, in those between preparations: 1.5% of a ratio."""
BOARD_DF = 1.0
"""That prior is a guess, since no set of equal boards was there to measure: it weighs as little
as one board, and was chosen so that intervals hold where boards differ by up to 2%
(`tests/test_random_effects.py`)."""

Floats = NDArray[np.float64]
Ids = NDArray[np.intp]


@dataclass(frozen=True, slots=True)
class Nesting:
    """Which board each session is on, and which candidate each board's sessions are of: numbers
    from 0 without a gap. A board that measured two candidates counts as two."""

    board: Ids
    owner: Ids

    @property
    def sessions(self) -> Ids:
        """How many each candidate has."""
        return np.bincount(self.owner[self.board])

    @property
    def boards(self) -> Ids:
        """On how many each candidate was measured."""
        return np.bincount(self.owner)


def pool(
    estimates: Floats,
    variances: Floats,
    degrees: Floats,
    prior_sd: Floats,
    nesting: Nesting,
    tails: Floats,
) -> tuple[Floats, Floats]:
    """Mean and half-width for each candidate from those of sessions; see the module's text.

    `variances` have `degrees` of freedom each; `prior_sd` is what is thought of tau beforehand;
    `tails` is the error rate of each candidate's interval.
    """
    board, owner = nesting.board, nesting.owner
    of = owner[board]
    total = partial(_total, of)
    between, between_df = _between_sessions(estimates, variances, prior_sd, nesting)
    shares = _shares(between[of] + variances, board)
    squares = _total(board, np.square(shares) * (between[of] + variances))
    prior = BOARD_SHARE**2 * total(np.square(prior_sd)) / nesting.sessions
    means = _total(board, shares * estimates)
    among, among_df = _between_boards(means, squares, prior, nesting)
    board_shares = _shares(among[owner] + squares, owner)
    shares = board_shares[board] * shares
    within = np.square(shares) * variances
    shared = total(np.square(shares)) * between
    across = _total(owner, np.square(board_shares)) * among
    variance = shared + total(within) + across
    inverse_df = shared**2 / between_df + total(within**2 / degrees) + across**2 / among_df
    df = variance**2 / inverse_df
    quantile = np.empty_like(df)
    for tail in np.unique(tails):
        quantile[tails == tail] = t_quantile(float(tail), df[tails == tail])
    return total(shares * estimates), quantile * np.sqrt(variance)


def _shares(variances: Floats, group: Ids) -> Floats:
    """Weight of each member in the mean of its group, by the inverse of its variance."""
    weights = 1 / variances
    return weights / _total(group, weights)[group]


def _between_sessions(
    estimates: Floats, variances: Floats, prior_sd: Floats, nesting: Nesting
) -> tuple[Floats, Floats]:
    """tau^2 of each candidate, and its degrees of freedom."""
    of = nesting.owner[nesting.board]
    sessions, seen = nesting.sessions, nesting.sessions - nesting.boards
    prior = _total(of, np.square(prior_sd) + PRIOR_SHARE * variances) / sessions
    moment = _moment(estimates, variances, prior[of], nesting.board, nesting.owner)
    df = np.asarray(PRIOR_DF + seen, dtype=np.float64)
    return (PRIOR_DF * prior + seen * moment) / df, df


def _between_boards(
    means: Floats, variances: Floats, prior: Floats, nesting: Nesting
) -> tuple[Floats, Floats]:
    """sigma^2 of each candidate, 0 for one board, and its degrees of freedom."""
    seen = nesting.boards - 1
    moment = _moment(means, variances, prior[nesting.owner], nesting.owner, np.arange(len(prior)))
    df = np.asarray(BOARD_DF + seen, dtype=np.float64)
    among = (BOARD_DF * prior + seen * moment) / df
    return np.where(seen > 0, among, 0.0), df


def _moment(estimates: Floats, variances: Floats, prior: Floats, group: Ids, owner: Ids) -> Floats:
    """Variance between members of the same group by the general method of moments, weights from
    the prior, over all groups of each owner; 0 where no group has two members."""
    total = partial(_total, group)
    weights = 1 / (prior + variances)
    sums, squares = total(weights), total(weights**2)
    centre = total(weights * estimates) / sums
    spread = total(weights * np.square(estimates - centre[group]))
    expected = total(weights * variances) - total(weights**2 * variances) / sums
    scale = sums - squares / sums
    several = np.bincount(group) > 1  # alone, a member says nothing but rounding errors
    excess, scales = (_total(owner, several * part) for part in (spread - expected, scale))
    found = np.divide(excess, scales, out=np.zeros_like(scales), where=scales > 0)
    return np.maximum(found, 0)


def _total(group: Ids, values: Floats) -> Floats:
    """The sum of each group's values."""
    return np.asarray(np.bincount(group, values), dtype=np.float64)


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
