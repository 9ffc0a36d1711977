"""Whether a plan's layers get their channels' means and deviations back."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

from ..errors import ModelError
from ..factors.channel_matcher import ChannelMatcher, matcher_of
from ..factors.channel_matching import ChannelMatching
from ..search.space import Assignment
from .builtin_constraints import constraints_of
from .problem import PlanProblem

GAIN = 0.98
"""Channels are matched where that leaves at most this share of the network error: it is one more
thing that is fitted to pictures, and small errors do not move means."""


def with_matched_channels(problem: PlanProblem, plan: Assignment) -> PlanProblem:
    """The same problem with channels matched in every plan from here on, if that makes the error
    of this one smaller."""
    if problem.calibration is None or not plan.decisions:
        return problem
    other = _matching(problem)
    before = problem.evidence.select.of(plan.decisions).value
    try:
        after = other.evidence.select.of(plan.decisions).value
    except ModelError as error:
        problem.reporter.message(f"channels are not matched: {error}")
        return problem
    if after > GAIN * before:
        return problem
    problem.reporter.message(f"channels are matched: network error {before:.4f} -> {after:.4f}")
    return other


def _matching(problem: PlanProblem) -> PlanProblem:
    calibration, assembly = problem.calibration, problem.assembly
    assert calibration is not None
    assert assembly.cache is not None

    @cache
    def matcher() -> ChannelMatcher:
        return matcher_of(assembly.network, calibration)

    matching = ChannelMatching(
        assembly.cache, calibration.sha256, lambda chains: matcher().corrections(chains)
    )
    evidence = problem.evidence.on(assembly.with_matching(matching))
    constraints = constraints_of(problem.objective, problem.setup, evidence.select)
    return replace(problem, evidence=evidence, constraints=constraints)
