"""Speedups of plans over the original in float32, whatever dtype the plans are in.

Rows in int8 say what a plan saves of the original in int8. How much faster that one is than the
original in float32 is measured of the whole network, never added up from rows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from .. import stats
from ..campaign.setup import Setup
from ..records import Comparison
from ..search.network_model import Forecast
from ..search.space import Assignment
from .problem import PlanProblem
from .whole_runs import Runs, known_runs, network_model, over_another_dtype, plan_of, timed

ORIGINAL = Assignment((), ())
"""The plan that replaces nothing."""


@dataclass(frozen=True, slots=True)
class OverFloat32:
    """What is known of a problem's plans: `timed` are their whole networks over the original in
    float32, by the plan's key, `own` those over the original in the problem's dtype."""

    problem: PlanProblem
    timed: Mapping[str, Comparison]
    own: Runs

    @classmethod
    def of(cls, problem: PlanProblem, original: Setup, plans: Sequence[Assignment]) -> OverFloat32:
        """Time what is missing: with `refine` every plan; in another dtype the original, in any
        case. `original` is the set-up in float32."""
        over = replace(problem, setup=original)
        several = over_another_dtype(over)
        wanted = [*([ORIGINAL] if several else []), *(plans if problem.options.refine else [])]
        if wanted:
            problem.reporter.message(f"timing {len(wanted)} whole networks")
        runs = timed(over, wanted) | known_runs(over, plans)
        by_plan = {plan.key: comparison for plan, comparison in runs.values()}
        return cls(problem, by_plan, known_runs(problem, plans) if several else runs)

    @property
    def dtype(self) -> str:
        return self.problem.setup.policy.dtype

    def predicted(self, plan: Assignment) -> Forecast:
        """The speedup of a plan that was not timed as a whole network, from its layers and the
        networks that were."""
        if not plan.decisions:
            return Forecast(1.0, 1.0, 1.0, own_run=False)
        forecast = network_model(self.problem, self.own).forecast(plan_of(plan))
        factor = self.timed.get(ORIGINAL.key)
        return forecast if factor is None else times(forecast, factor)


def times(forecast: Forecast, factor: Comparison) -> Forecast:
    speedup, low, high = stats.product(
        (forecast.speedup, forecast.speedup_low, forecast.speedup_high),
        (factor.speedup, factor.speedup_low, factor.speedup_high),
    )
    return replace(forecast, speedup=speedup, speedup_low=low, speedup_high=high)
