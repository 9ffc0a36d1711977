"""A whole network's latency, learned from its layers' savings and a few whole-network runs.

The share of its time that a plan saves is modelled as

    f(plan) = sum over replaced layers (scale + d_j) a_j + u_plan

where a_j is what the layer saves when it is measured alone, as a share of the network's
measured latency; `scale` is common (savings measured alone are nearly always too hopeful in
the same direction); d_j is the candidate's own deviation, shared by all layers that compute
the same; and u_plan is what no sum of layers knows, the same whenever that plan is timed.
All are Gaussian with mean `SCALE`, 0 and 0, so f is a Gaussian process over plans and a run
y = f + noise updates it in closed form (Rasmussen and Williams 2006, ch. 2). The standard
deviations of d and u are averaged over a grid, weighted by how well they explain the runs.

A plan that was itself timed is predicted from that run, too: it weighs what its interval
deserves. `held_out` says how far off the model is for plans that it is not told about.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from math import log
from statistics import NormalDist, median

import numpy as np
from numpy.typing import NDArray

from ..records import Comparison

Floats = NDArray[np.float64]

SCALE, SCALE_SD = 0.9, 0.15
OWN_SDS = (0.03, 0.1, 0.3, 0.7)
"""Grid for the relative deviation of one candidate's saving in the network."""
PLAN_SDS = (0.003, 0.01, 0.03)
"""Grid for what no sum of layers knows, as a share of the network's latency."""
FLOOR = 0.01
"""Smallest relative standard error of a promise: another preparation, another day."""
MAX_SHARE = 0.99
REACH = NormalDist().inv_cdf(0.975)
"""Standard errors from the middle of an interval of 95% to its ends."""


@dataclass(frozen=True, slots=True)
class Part:
    """One replaced layer: `key` is equal for layers and candidates that compute the same."""

    key: str
    saving_s: float
    saving_se_s: float = 0.0


@dataclass(frozen=True, slots=True)
class PlanParts:
    """`key` names the plan; `parts` are its replaced layers."""

    key: str
    parts: tuple[Part, ...]


@dataclass(frozen=True, slots=True)
class PlanRun:
    """A plan that was timed as a whole network: its share of time saved, and the standard
    error of that."""

    plan: PlanParts
    share: float
    share_se: float

    @classmethod
    def of(cls, plan: PlanParts, run: Comparison) -> PlanRun:
        """The run that a paired comparison with the original network is."""
        return cls.of_speedup(plan, run.speedup, (run.speedup_low, run.speedup_high))

    @classmethod
    def of_speedup(cls, plan: PlanParts, speedup: float, interval: tuple[float, float]) -> PlanRun:
        spread = log(interval[1] / interval[0]) / (2 * REACH)
        return cls(plan, 1 - 1 / speedup, spread / speedup)


@dataclass(frozen=True, slots=True)
class Forecast:
    """The speedup of a plan. `own_run`: the plan itself was among the runs."""

    speedup: float
    speedup_low: float
    speedup_high: float
    own_run: bool


class NetworkModel:
    """Fitted on `runs`; `original_s` is the original network's measured latency."""

    def __init__(self, original_s: float, runs: Sequence[PlanRun]) -> None:
        if not original_s > 0:
            raise ValueError("original_s has to be positive")
        self.original_s, self.runs = original_s, tuple(runs)
        plans = [run.plan for run in runs]
        self._among = _Products.of(plans, plans, original_s)
        self._noise = np.diag([run.share_se**2 + 1e-12 for run in runs])
        self._residuals = np.array(
            [run.share - SCALE * _alone(run.plan, original_s) for run in runs]
        )
        self._weights = self._believed()

    def forecast(self, plan: PlanParts) -> Forecast:
        """The speedup with its interval; a plan that replaces nothing changes nothing."""
        if not plan.parts:
            return Forecast(1.0, 1.0, 1.0, False)
        mean, variance = self.posterior(plan)
        share = min(mean, MAX_SHARE)
        spread = float(np.sqrt(variance + (FLOOR * (1 - share)) ** 2))
        reach = REACH * spread
        return Forecast(
            1 / (1 - share),
            1 / (1 - share + reach),
            1 / max(1 - share - reach, 1 - MAX_SHARE),
            any(run.plan.key == plan.key for run in self.runs),
        )

    def held_out(self) -> float | None:
        """Median relative error of the speedup of runs that were left out of the fit one at a
        time; None for fewer than three."""
        if len(self.runs) < 3:
            return None
        errors = []
        for run in self.runs:
            others = [other for other in self.runs if other.plan.key != run.plan.key]
            mean, _ = NetworkModel(self.original_s, others).posterior(run.plan)
            errors.append(abs((1 - run.share) / (1 - min(mean, MAX_SHARE)) - 1))
        return median(errors)

    def savings(self, plan: PlanParts) -> list[float]:
        """What each of the plan's layers is thought to save in the network, in seconds: the
        joint fit to all runs, with the isolated savings as its prior."""
        alone = [PlanParts(f"{plan.key}:{n}", (part,)) for n, part in enumerate(plan.parts)]
        return [self.posterior(one)[0] * self.original_s for one in alone]

    def _believed(self) -> list[tuple[float, float, float]]:
        """(own sd, plan sd, weight) over the grid."""
        grid = list(product(OWN_SDS, PLAN_SDS))
        scores = np.array([self._evidence(own, unknown) for own, unknown in grid])
        weights = np.exp(scores - scores.max())
        shares = (weights / weights.sum()).tolist()
        return [(own, unknown, share) for (own, unknown), share in zip(grid, shares, strict=True)]

    def _evidence(self, own: float, unknown: float) -> float:
        """Log likelihood of the runs, up to a constant."""
        if not self.runs:
            return 0.0
        covariance = self._among.covariance(own, unknown) + self._noise
        _, logdet = np.linalg.slogdet(covariance)
        fitted = self._residuals @ np.linalg.solve(covariance, self._residuals)
        return -0.5 * float(fitted + logdet)

    def posterior(self, plan: PlanParts) -> tuple[float, float]:
        """Mean and variance of the plan's share, averaged over the grid."""
        prior = SCALE * _alone(plan, self.original_s)
        itself = _Products.of([plan], [plan], self.original_s)
        across = _Products.of([plan], [run.plan for run in self.runs], self.original_s)
        moments = []
        for own, unknown, weight in self._weights:
            variance = float(itself.covariance(own, unknown)[0, 0])
            shared = across.covariance(own, unknown)[0]
            gain = np.linalg.solve(self._among.covariance(own, unknown) + self._noise, shared)
            mean = prior + float(gain @ self._residuals)
            moments.append((weight, mean, max(variance - float(gain @ shared), 0.0)))
        mean = sum(w * m for w, m, _ in moments)
        return mean, sum(w * (v + (m - mean) ** 2) for w, m, v in moments)


@dataclass(frozen=True, slots=True)
class _Products:
    """What covariances between plans are made of, each of shape (left, right)."""

    scale: Floats
    own: Floats
    error: Floats
    same: Floats

    @classmethod
    def of(
        cls, left: Sequence[PlanParts], right: Sequence[PlanParts], original_s: float
    ) -> _Products:
        shape = (len(left), len(right))
        rows, columns = (np.array([_alone(p, original_s) for p in side]) for side in (left, right))
        sums = [[_sums(plan) for plan in side] for side in (left, right)]
        own, error, same = np.zeros(shape), np.zeros(shape), np.zeros(shape)
        for (i, a), (j, b) in product(enumerate(left), enumerate(right)):
            same[i, j] = a.key == b.key
            for key, (count, saving, se) in sums[0][i].items():
                if key in sums[1][j]:
                    both = count * sums[1][j][key][0] / original_s**2
                    own[i, j] += both * saving**2
                    error[i, j] += both * se**2
        return cls(np.outer(rows, columns), own, error, same)

    def covariance(self, own: float, unknown: float) -> Floats:
        return SCALE_SD**2 * self.scale + own**2 * self.own + self.error + unknown**2 * self.same


def _alone(plan: PlanParts, original_s: float) -> float:
    return sum(part.saving_s for part in plan.parts) / original_s


def _sums(plan: PlanParts) -> Mapping[str, tuple[int, float, float]]:
    """(how often, saving, its standard error) of each candidate in a plan."""
    counts = Counter(part.key for part in plan.parts)
    return {p.key: (counts[p.key], p.saving_s, p.saving_se_s) for p in plan.parts}
