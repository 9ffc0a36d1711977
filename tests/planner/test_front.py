"""Points of a front: rising in both, whatever the search has found."""

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from rankwise.documents import LimitPoint
from rankwise.workflow.front import undominated

NUMBERS = st.floats(0.0, 2.0).map(lambda x: round(x, 2))


def point(error: float, speedup: float) -> LimitPoint:
    return LimitPoint(
        max_error=max(error, 0.01),
        speedup=speedup,
        speedup_low=speedup,
        speedup_high=speedup,
        network_error=error,
        replaced=1,
    )


@given(st.lists(st.tuples(NUMBERS, NUMBERS), max_size=12))
def test_no_point_is_dominated_and_every_other_is(pairs: list[tuple[float, float]]) -> None:
    kept = [
        (p.network_error or 0.0, p.speedup or 0.0) for p in undominated([point(*p) for p in pairs])
    ]
    assert set(kept) <= set(pairs)
    for (error, speedup), (more, faster) in pairwise(kept):
        assert error < more
        assert speedup < faster
    for error, speedup in pairs:
        assert any(e <= error and s >= speedup for e, s in kept)
