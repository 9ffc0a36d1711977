"""Choices of a layer, pruning, and the reasons for keeping a layer."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rankwise.records import Decomposition, LayerSpec, LayerUse, MeasurementPolicy, Verdict
from rankwise.search.exact import SolverLimits, solve
from rankwise.search.space import (
    Assignment,
    Choice,
    LayerChoices,
    decisions,
    kept_reason,
    layer_choices,
    prune,
    quantum_of,
)
from rankwise.search.table import TableRow

SPEC = LayerSpec("conv2d", 64, 32, (64, 8, 8))
LAYER = LayerUse("a", "conv2d", SPEC)
IN_FLOAT32 = Decomposition(precision="float32")


def row(verdict: Verdict = Verdict.FASTER, rank: int = 16, saving: float = 1e-3) -> TableRow:
    return TableRow(
        layer="a",
        layers=("a",),
        op="conv2d",
        spec=SPEC,
        spec_key=SPEC.key,
        count=1,
        decomposition=Decomposition("svd", (rank,)),
        backend="fake",
        hardware_key="h",
        software_key="s",
        policy=MeasurementPolicy(),
        latency_s=1e-3,
        original_latency_s=1e-3 + saving,
        saving_s=saving,
        saving_low_s=saving - 1.96e-5,
        saving_high_s=saving + 1.96e-5,
        speedup=(1e-3 + saving) / 1e-3,
        speedup_low=1.0,
        speedup_high=3.0,
        verdict=verdict,
        macs=1,
        original_macs=2,
        params=rank,
        measured_at="",
        stale=False,
        measurement_id=f"m{rank}",
    )


def test_only_faster_candidates_are_choices_by_default() -> None:
    rows = [row(verdict, rank) for rank, verdict in enumerate(Verdict, start=1)]
    layer = layer_choices(LAYER, rows, lambda _: 0.25)
    original, taken = layer.choices
    assert original.decomposition.is_original
    assert (original.saving_s, original.error_sq, original.params) == (0.0, 0.0, SPEC.params)
    assert (taken.verdict, taken.error_sq, taken.reason) == (Verdict.FASTER, 0.25, "")
    assert taken.saving_se_s == pytest.approx(1e-5, rel=1e-4)
    assert {choice.reason for choice in layer.rejected} == {"slower", "same", "undecided"}


def test_other_verdicts_may_be_accepted() -> None:
    rows = [row(Verdict.UNDECIDED)]
    layer = layer_choices(LAYER, rows, lambda _: 0.0, accept=[Verdict.UNDECIDED])
    assert len(layer.choices) == 2


@pytest.mark.parametrize(
    ("rows", "options", "reason"),
    [
        ([], {}, "not_measured"),
        ([row()], {"excluded": True}, "excluded_by_mode"),
        ([row(Verdict.SLOWER)], {}, "slower"),
        ([row(Verdict.SLOWER), row(Verdict.SAME)], {}, "same"),
        ([row(Verdict.SAME), row(Verdict.UNDECIDED)], {}, "undecided"),
        ([row(saving=-1e-3)], {}, "undecided"),
        ([row()], {}, "fidelity"),
    ],
)
def test_the_reason_for_keeping_a_layer(
    rows: list[TableRow], options: dict[str, bool], reason: str
) -> None:
    layer = layer_choices(LAYER, rows, lambda _: 0.5, **options)
    assert kept_reason(layer) == reason
    kept = Assignment(("a",), (layer.choices[0],))
    assert decisions([layer], kept)[0].reason == reason


def test_an_unknown_error_rejects_for_fidelity() -> None:
    layer = layer_choices(LAYER, [row()], lambda _: None)
    assert len(layer.choices) == 1
    assert kept_reason(layer) == "fidelity"


def test_an_unsupported_layer_says_why() -> None:
    grouped = LayerUse("g", "conv2d", SPEC, reason="grouped convolution")
    assert layer_choices(grouped, [row()], lambda _: 0.0).reason == (
        "unsupported: grouped convolution"
    )
    unknown = LayerUse("u", "LSTM", None)
    assert layer_choices(unknown, [], lambda _: 0.0).reason == "unsupported: LSTM"


def test_a_replaced_layer_has_its_verdict_as_reason() -> None:
    layer = layer_choices(LAYER, [row()], lambda _: 0.0)
    taken = Assignment(("a",), (layer.choices[1],))
    assert decisions([layer], taken)[0].reason == "faster"
    unsure = Assignment(("a",), (replace(layer.choices[1], verdict=Verdict.UNDECIDED),))
    assert decisions([layer], unsure)[0].reason == "undecided"
    unsaid = Assignment(("a",), (replace(layer.choices[1], verdict=None),))
    assert decisions([layer], unsaid)[0].reason == "faster"


@pytest.mark.parametrize(
    ("ranks", "quantum"),
    [
        *(((3 * 2**power,), 2**power) for power in range(9)),
        *[((48, 32), 16), ((512,), 256), ((7,), 1), ((), 1)],
    ],
)
def test_the_quantum_is_the_coarsest_that_fits(ranks: tuple[int, ...], quantum: int) -> None:
    assert quantum_of(Decomposition("svd", ranks)) == quantum


def test_an_assignment_adds_up_and_has_a_key() -> None:
    a = Choice(Decomposition("svd", (8,)), saving_s=1.0, error_sq=0.5, params=3)
    b = Choice(saving_s=0.0, params=4)
    whole = Assignment(("x", "y"), (a, b))
    assert (whole.saving_s, whole.error_sq, whole.params) == (1.0, 0.5, 7)
    assert whole.key == Assignment(("x", "y"), (a, b), bound=2.0).key
    assert whole.key != Assignment(("x", "y"), (b, a)).key


numbers = st.integers(0, 6)
choices = st.builds(
    lambda i, saving, error, params: Choice(
        Decomposition("svd", (i,)), saving_s=saving, error_sq=error, params=params
    ),
    st.integers(1, 9),
    numbers,
    numbers,
    numbers,
)
pools = st.builds(
    lambda others, params: (Choice(params=params), *others),
    st.lists(choices, max_size=5),
    numbers,
)


def best_saving(
    pool: list[tuple[Choice, ...]], max_error: float, max_params: float
) -> float | None:
    plans = [Assignment(("",) * len(plan), plan) for plan in product(*pool)]
    savings = [p.saving_s for p in plans if p.error_sq <= max_error and p.params <= max_params]
    return max(savings, default=None)


@given(st.lists(pools, min_size=1, max_size=3), st.integers(0, 12), st.integers(0, 15))
def test_pruning_leaves_the_optimum(
    pool: list[tuple[Choice, ...]], max_error: int, max_params: int
) -> None:
    full = best_saving(pool, max_error, float("inf"))
    assert best_saving([prune(p) for p in pool], max_error, float("inf")) == full
    full = best_saving(pool, max_error, max_params)
    assert (
        best_saving([prune(p, [lambda c: c.params]) for p in pool], max_error, max_params) == full
    )


@given(pools)
def test_pruned_choices_trade_error_for_saving(pool: tuple[Choice, ...]) -> None:
    kept = prune(pool)
    assert kept[0] is pool[0]
    others = kept[1:]
    assert list(others) == sorted(others, key=lambda c: c.error_sq)
    assert [c.saving_s for c in others] == sorted({c.saving_s for c in others})


def test_layer_choices_are_values() -> None:
    assert LayerChoices("a", "k", (Choice(),)) == LayerChoices("a", "k", (Choice(),))


def test_a_layer_may_stay_in_float32_for_what_int8_costs_it() -> None:
    """It is slower than the layer in int8, and is a choice all the same, of less error."""
    stays = replace(row(Verdict.SLOWER, saving=-2e-3), decomposition=IN_FLOAT32)
    errors = {IN_FLOAT32: 0.0}
    made = layer_choices(LAYER, [row(), stays], lambda one: errors.get(one, 0.3), kept_error_sq=0.2)
    original, replaced, kept = made.choices
    assert (original.error_sq, replaced.error_sq, kept.error_sq) == (0.2, 0.3, 0.0)
    assert kept.saving_s == -2e-3
    assert prune(made.choices) == (original, kept, replaced)
    assert [c.decomposition for c in made.with_savings([0.0, -1e-3]).choices] == [
        original.decomposition,
        IN_FLOAT32,
    ]
    (decision,) = decisions([made], Assignment(("a",), (kept,)))
    assert decision.reason == "in_float32"


def test_what_may_only_stay_in_float32_is_kept_for_no_candidate_that_is_faster() -> None:
    stays = replace(row(Verdict.SLOWER, saving=-2e-3), decomposition=IN_FLOAT32)
    made = layer_choices(LAYER, [row(Verdict.SAME), stays], lambda _: 0.0, kept_error_sq=0.2)
    assert len(made.choices) == 2
    assert kept_reason(made) == "same"


def test_the_solver_leaves_a_layer_in_float32_where_the_limit_asks_for_it() -> None:
    stays = replace(row(Verdict.SLOWER, saving=-2e-3), decomposition=IN_FLOAT32)
    names = ("a", "b")
    layers = [
        layer_choices(replace(LAYER, name=name), [stays], lambda _: 0.0, kept_error_sq=lost)
        for name, lost in zip(names, (0.2, 0.05), strict=True)
    ]
    plans = [solve(layers, SolverLimits(limit)) for limit in (0.3, 0.2, 0.04)]
    assert [list(plan.decisions) for plan in plans] == [[], ["a"], ["a", "b"]]
