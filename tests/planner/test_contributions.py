"""What choices cost the network: between the ranks whose contributions were taken."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from rankwise.planner.contributions import Contributions, probes
from rankwise.records import ORIGINAL, Decomposition

CP = Decomposition("cp", (1,))


def svd(rank: int) -> Decomposition:
    return Decomposition("svd", (rank,))


def assembly(**errors: float) -> Any:
    return SimpleNamespace(
        estimated_error=lambda _name, one: errors[f"{one.kind}{one.ranks[0]}"],
        make_curves=lambda _keys: None,
    )


def test_the_contribution_is_the_squared_layer_error_times_a_factor_between_those_known() -> None:
    made = assembly(svd1=0.4, svd2=0.2, svd4=0.1, svd8=0.0)
    found = Contributions(made, {("a", svd(1)): 0.16, ("a", svd(4)): 0.0025})
    assert found.of("a", svd(1)) == pytest.approx(0.16)
    assert found.of("a", svd(4)) == pytest.approx(0.0025)
    assert found.of("a", svd(2)) == pytest.approx((0.2 * 0.75) ** 2)  # midway between 1 and 0.5
    assert found.of("a", svd(8)) == 0


def test_probes_reach_from_the_smallest_error_to_the_largest() -> None:
    made = assembly(svd1=0.4, svd2=0.3, svd3=0.2, svd4=0.1, svd5=0.05, cp7=0.3)
    cp = Decomposition("cp", (7,))
    found = probes(made, {"a": [svd(rank) for rank in (3, 1, 5, 2, 4)], "b": [svd(2), cp]})
    assert found == [("a", svd(5)), ("a", svd(3)), ("a", svd(1)), ("b", svd(2)), ("b", cp)]
    assert probes(made, {"a": [svd(1), svd(3), svd(5)]}, count=1) == [("a", svd(3))]


def test_in_int8_rounding_is_added_unless_a_choice_stays_in_float32() -> None:
    """A chain's own where it is known, between its layer errors; else the layer's."""
    made = assembly(svd1=0.4, svd2=0.2, svd4=0.1, cp1=0.3)
    taken = {("a", svd(1)): 0.16, ("a", svd(4)): 0.01, ("a", CP): 0.09}
    rounding = {("a", ORIGINAL): 0.02, ("a", svd(1)): 0.03, ("a", svd(4)): 0.05}
    found = Contributions(made, taken, rounding)
    assert found.with_rounding("a", svd(1)) == pytest.approx(0.16 + 0.03)
    assert found.with_rounding("a", svd(2)) == pytest.approx(0.04 + 0.04)
    assert found.with_rounding("a", CP) == pytest.approx(0.09 + 0.02)
    assert found.with_rounding("a", replace(svd(1), precision="float32")) == pytest.approx(0.16)
    assert found.with_rounding("a", Decomposition(precision="float32")) == 0
    assert (found.rounding("a"), found.rounding("b")) == (0.02, 0)
