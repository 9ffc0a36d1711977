"""The room that the additive solution leaves is filled by what the network really loses."""

import pytest

from rankwise.planner.repair import FILL_TRIES, fill_slack
from rankwise.records import Decomposition
from rankwise.search.exact import Ceiling, SolverLimits
from rankwise.search.space import Assignment, Choice, LayerChoices

LAYERS = [
    LayerChoices(
        name,
        name,
        (
            Choice(params=100),
            *(
                Choice(
                    Decomposition("svd", (rank,)), saving_s=1 / rank, error_sq=4 / rank, params=rank
                )
                for rank in (16, 8, 4)
            ),
        ),
    )
    for name in "abc"
]
START = Assignment(("a", "b", "c"), tuple(layer.choices[1] for layer in LAYERS))


class Measured:
    """Layer b loses a quarter of what is modelled, the others a half of it."""

    def __init__(self, limit: float) -> None:
        self.limit, self.asked = limit, 0

    def __call__(self, plan: Assignment) -> float:
        self.asked += 1
        shares = {"a": 0.5, "b": 0.25, "c": 0.5}
        return sum(shares[n] * 4 / d.ranks[0] for n, d in plan.decisions.items()) / self.limit


def ranks(found: Assignment) -> list[int]:
    return [choice.decomposition.ranks[0] for choice in found.choices]


@pytest.mark.parametrize(("limit", "wanted"), [(0.32, [16, 16, 16]), (0.5, [8, 8, 16])])
def test_what_fits_is_taken(limit: float, wanted: list[int]) -> None:
    usage = Measured(limit)
    found = fill_slack(LAYERS, SolverLimits(), usage, START)
    assert ranks(found) == wanted
    assert usage(found) <= 1
    assert usage.asked <= FILL_TRIES + 2


def test_other_limits_are_kept() -> None:
    parameters = Ceiling("parameters", 47, lambda _, choice: choice.params)
    limits = SolverLimits(ceilings=(parameters,))
    found = fill_slack(LAYERS, limits, Measured(100.0), START)
    assert sum(choice.params for choice in found.choices) <= 47
    assert found.saving_s > START.saving_s


def test_nothing_is_measured_where_nothing_is_left() -> None:
    best = Assignment(START.names, tuple(layer.choices[-1] for layer in LAYERS))
    asked: list[object] = []
    assert fill_slack(LAYERS, SolverLimits(), lambda plan: asked.append(plan) or 0.5, best) is best
    assert len(asked) == 1
