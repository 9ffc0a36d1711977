"""Choices, fronts, sentences and samplers just at the bounds where they turn."""

from __future__ import annotations

from dataclasses import replace

import pytest

from rankwise.errors import UsageError
from rankwise.records import Decomposition, Verdict
from rankwise.search import explanation, front
from rankwise.search.encoding import code_layers, encode
from rankwise.search.explanation import Cost, Neighbour, Roofs, reasons
from rankwise.search.quiet import quiet_optuna
from rankwise.search.samplers import make_sampler, sampler_names
from rankwise.search.space import Assignment, Choice, LayerChoices, kept_reason, prune


def choice(rank: int, saving_s: float, error_sq: float, params: int = 0) -> Choice:
    return Choice(Decomposition("svd", (rank,)), saving_s, error_sq=error_sq, params=params)


def test_the_original_saves_and_loses_nothing() -> None:
    original = Choice()
    assert (original.saving_s, original.saving_se_s, original.error_sq) == (0, 0, 0)
    assert (original.params, original.measurement_id, original.reason) == (0, "", "")
    assert original.decomposition.is_original
    assert original.verdict is None


def test_an_original_with_an_error_does_not_shut_out_smaller_savings() -> None:
    """Sums of several layers may stand first with an error of their own."""
    first = replace(Choice(), saving_s=2.0, error_sq=0.5)
    better, worse = choice(8, 1.0, 0.25), choice(4, 1.0, 0.3)
    assert prune([first, worse, better]) == (first, better)
    exact = replace(first, error_sq=0.0)
    assert prune([exact, worse, better]) == (exact,)


def test_equal_savings_are_pruned_to_the_smallest_error() -> None:
    one, two = choice(8, 1.0, 0.1), choice(4, 1.0, 0.2)
    assert prune([Choice(), two, one]) == (Choice(), one)
    nothing = choice(2, 0.0, 0.05)
    assert prune([Choice(), nothing]) == (Choice(),)


def test_decisions_are_of_the_layers_that_change() -> None:
    replaced = choice(8, 1.0, 0.1)
    plan = Assignment(("a", "b"), (Choice(), replaced))
    assert plan.decisions == {"b": replaced.decomposition}


def test_a_layer_with_choices_is_kept_for_fidelity() -> None:
    layer = LayerChoices("a", "k", (Choice(), choice(8, 1.0, 0.1)))
    assert kept_reason(layer) == "fidelity"
    assert kept_reason(replace(layer, choices=(Choice(),))) == "not_measured"
    assert kept_reason(replace(layer, reason="excluded_by_mode")) == "excluded_by_mode"


def test_a_front_of_two_points_spans_a_factor_of_twenty() -> None:
    assert front.budgets(0.4, 2) == pytest.approx([0.001, 0.4])
    assert front.budgets(0.4, 3) == pytest.approx([0.001, 0.02, 0.4])
    for points in (1, 0, -1):
        with pytest.raises(UsageError, match="at least 2 points"):
            front.budgets(0.4, points)


def test_a_sampled_front_tries_all_its_seeds_and_as_many_trials_as_asked() -> None:
    layer = LayerChoices("a", "k", (Choice(), choice(8, 1.0, 0.1), choice(4, 2.0, 0.2)))
    seeds = [Assignment(("a",), (one,)) for one in layer.choices]
    found = front.sampled_front([layer], 0.2, trials=0, sampler="random", seeds=seeds)
    assert [a.saving_s for a in found] == [0.0, 1.0, 2.0]
    assert front.sampled_front([layer], 0.2, trials=0, sampler="random") == []


ORIGINAL = Cost(macs=1000, moved_bytes=100, launches=2, latency_s=1.0)
FAR = Roofs(macs_per_s=1.0, bytes_per_s=1000.0)


def said(chain: Cost, ranks: tuple[int, ...] = (8,), **options: object) -> str:
    given: dict[str, object] = {"verdict": Verdict.FASTER, "roofs": FAR, **options}
    return "; ".join(reasons(ORIGINAL, chain, ranks, **given))  # type: ignore[arg-type]


def test_as_many_operators_are_not_worth_a_word() -> None:
    assert "operators" not in said(replace(ORIGINAL, macs=500))
    text = said(replace(ORIGINAL, launches=4, latency_s=2.0))
    assert "4 operators instead of 2, 500000 us each" in text


def test_traffic_is_worth_a_word_from_a_tenth_more_on() -> None:
    assert "moves" not in said(replace(ORIGINAL, moved_bytes=109))
    text = said(replace(ORIGINAL, moved_bytes=111))
    assert "moves 1.11 times the bytes, so 9.0 MACs a byte instead of 10.0" in text
    assert "limits" not in text


def test_throughput_is_worth_a_word_a_tenth_away_on_either_side() -> None:
    for latency_s in (0.92, 1.0, 1.08):
        assert "GMAC/s" not in said(replace(ORIGINAL, latency_s=latency_s))
    assert "(87%)" in said(replace(ORIGINAL, latency_s=1.15))
    large = replace(ORIGINAL, macs=3 * 10**9, latency_s=0.5)
    assert "computes 6.0 GMAC/s where the original computes 0.0 (600000000%)" in said(large)


def test_a_neighbour_has_to_keep_as_much_in_every_rank_and_be_faster() -> None:
    chain = replace(ORIGINAL, latency_s=1.0)
    equal = Neighbour((8, 8), 1.0)
    mixed = Neighbour((16, 4), 0.1)
    assert "keeps more" not in said(chain, (8, 8), neighbours=[equal, mixed])
    better = Neighbour((8, 16), 0.8)
    best = Neighbour((16, 16), 0.5)
    text = said(chain, (8, 8), neighbours=[equal, mixed, better, best])
    assert "rank 16x16 keeps more and is 2.00 times faster than rank 8x8" in text


def test_the_first_odd_rank_is_named() -> None:
    assert "rank 6 is no multiple of 4" in said(ORIGINAL, (8, 6, 5))
    assert "no multiple" not in said(ORIGINAL, (4, 12))
    assert explanation.ALIGNMENT == 4


@pytest.mark.parametrize("name", [n for n in sampler_names() if n not in ("gp", "cmaes")])
def test_samplers_differ_by_their_seed(name: str) -> None:
    import optuna

    def drawn(seed: int) -> list[float]:
        with quiet_optuna():
            study = optuna.create_study(sampler=make_sampler(name, seed))
            study.optimize(lambda trial: trial.suggest_float("x", 0, 1), n_trials=6)
        return [trial.params["x"] for trial in study.trials]

    assert drawn(1) == drawn(1)
    assert drawn(1) != drawn(2)


def test_a_layer_of_one_choice_is_no_parameter() -> None:
    only = LayerChoices("a", "k", (Choice(),))
    (code,) = code_layers([only], [only.choices])

    class Nothing:
        def suggest_categorical(self, name: str, choices: object) -> None:
            raise AssertionError(name, choices)

        suggest_int = suggest_categorical

    assert code.suggest(Nothing()) == Choice()  # type: ignore[arg-type]
    unknown = replace(Choice(), decomposition=replace(Choice().decomposition, groups=2))
    with pytest.raises(KeyError, match="a has no choice original g2"):
        encode([code], [unknown])
