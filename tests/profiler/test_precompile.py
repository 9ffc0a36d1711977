"""Compiling ahead: the order, what is left out, and what a failure of the original means."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest

from rankwise.backends.base import CompilesAhead, Workload
from rankwise.backends.fake import FakeBackend
from rankwise.profiler.precompile import Compiled, compile_order, compile_tasks, halving
from rankwise.profiler.sweep import LayerTask
from rankwise.records import ORIGINAL, Candidate, Decomposition, LayerSpec, MeasurementPolicy

POLICY = MeasurementPolicy()
SMALL = LayerSpec("linear", 64, 64, (64,))
LARGE = LayerSpec("conv2d", 256, 256, (256, 7, 7), (3, 3), padding=(1, 1, 1, 1))
RANKS = (8, 16, 24, 32, 40)
TASKS = [
    LayerTask(SMALL, tuple(Decomposition("svd", (r,)) for r in (8, 16, 24)), weight=1.0),
    LayerTask(
        LARGE,
        tuple(Decomposition(kind, (r,)) for kind in ("channel_svd", "input_svd") for r in RANKS),
        weight=9.0,
    ),
]


class Compiling(FakeBackend):
    """Compiles as many as the budget says; some workloads cannot be compiled."""

    def __init__(self, bad: Mapping[str, str] | None = None) -> None:
        super().__init__()
        self.bad = bad or {}
        self.asked: list[str] = []

    def compile_ahead(
        self, workloads: Sequence[Workload], policy: MeasurementPolicy, budget_s: float | None
    ) -> Mapping[str, str]:
        assert policy == POLICY
        self.asked = [workload.key for workload in workloads]
        reached = self.asked if budget_s is None else self.asked[: int(budget_s)]
        return {key: self.bad.get(key, "") for key in reached}


def test_originals_and_one_of_each_kind_come_first_and_heavy_layers_before_others() -> None:
    order = compile_order(TASKS)
    first = [(one.spec is LARGE, str(one.decomposition)) for one in order[:5]]
    assert first == [
        (True, "original"),
        (True, "channel_svd 24"),
        (True, "input_svd 24"),
        (False, "original"),
        (False, "svd 16"),
    ]
    assert len(order) == len(set(order)) == 2 + 3 + 10


def test_what_halves_the_unknown_comes_next() -> None:
    ones = [Candidate(SMALL, Decomposition("svd", (r,))) for r in range(1, 8)]
    assert [one.decomposition.ranks[0] for one in halving(ones)] == [4, 2, 6, 1, 3, 5, 7]


def test_a_short_budget_leaves_whole_sessions() -> None:
    backend = Compiling()
    assert isinstance(backend, CompilesAhead)
    found = compile_tasks(backend, TASKS, POLICY, 5.0)
    kept = {(t.spec, d) for t in found.tasks for d in t.decompositions}
    assert kept == {
        (LARGE, Decomposition("channel_svd", (24,))),
        (LARGE, Decomposition("input_svd", (24,))),
        (SMALL, Decomposition("svd", (16,))),
    }
    assert (found.left, found.failures) == (10, [])
    assert [task.weight for task in found.tasks] == [1.0, 9.0], "in the order they came"


def test_candidates_without_their_original_are_left() -> None:
    found = compile_tasks(Compiling(), TASKS, POLICY, 3.0)
    assert {task.spec for task in found.tasks} == {LARGE}
    assert found.left == 11


def test_failures_have_their_reason_and_one_of_the_original_is_everybodys() -> None:
    bad = {
        Candidate(LARGE, Decomposition("channel_svd", (8,))).key: "E10001: a reason",
        Candidate(SMALL, ORIGINAL).key: "E40001: another",
    }
    found = compile_tasks(Compiling(bad), TASKS, POLICY, None)
    reasons = {str(c.decomposition): f.reason for c, f in found.failures if c.spec is LARGE}
    assert reasons == {"channel_svd 8": "E10001: a reason"}
    small = [f for c, f in found.failures if c.spec is SMALL]
    assert [f.reason for f in small] == ["the original failed: E40001: another"] * 3
    assert {f.stage for _, f in found.failures} == {"convert"}
    assert {t.spec for t in found.tasks} == {LARGE}
    assert found.left == 0


@pytest.mark.parametrize("budget", [None, 0.0])
def test_other_backends_need_none(budget: float | None) -> None:
    assert compile_tasks(FakeBackend(), TASKS, POLICY, budget) == Compiled(TASKS, [], 0)


def test_what_cannot_be_a_chain_is_left_to_the_session() -> None:
    wrong = LayerTask(SMALL, (Decomposition("svd", (10**6,)),))
    backend = Compiling()
    assert compile_tasks(backend, [wrong], POLICY, None) == Compiled([wrong], [], 0)
    assert backend.asked == [Candidate(SMALL, ORIGINAL).key]
