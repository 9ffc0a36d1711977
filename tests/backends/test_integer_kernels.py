"""A multiplication that is not computed as it should be is a failure with its reason."""

import pytest

from rankwise.backends.integer_kernels import require_integers
from rankwise.errors import MeasurementError

Found = list[tuple[str, bool]]
INTEGERS, FLOAT = ("QLinearConv", True), ("Conv", False)


@pytest.mark.parametrize(
    ("found", "links", "floats"),
    [
        ([INTEGERS], 1, ()),
        ([INTEGERS, INTEGERS], 2, ()),
        ([INTEGERS, FLOAT], 2, ((1, 2),)),
        ([FLOAT, FLOAT], 2, ((0, 2),)),
        ([FLOAT, FLOAT], 2, ((0, 1), (1, 2))),
    ],
)
def test_what_was_to_be_measured(
    found: Found, links: int, floats: tuple[tuple[int, int], ...]
) -> None:
    require_integers("it", found, links, floats)


@pytest.mark.parametrize(
    ("found", "links", "floats", "said"),
    [
        ([FLOAT], 1, (), "it leaves 1 of 1 multiplications in float32 (Conv)"),
        ([INTEGERS, FLOAT], 2, (), "it leaves 1 of 2 multiplications in float32 (Conv)"),
        ([FLOAT, FLOAT], 2, ((0, 1),), "it leaves 2 of 2"),
        ([INTEGERS], 1, ((0, 1),), "0 of them in float32 instead of 1"),
        ([INTEGERS], 2, (), "it makes 1 multiplications of 2"),
        ([], 1, (), "it makes 0 multiplications of 1"),
        ([INTEGERS, INTEGERS], 1, (), "it makes 2 multiplications of 1"),
    ],
)
def test_what_is_another_thing(
    found: Found, links: int, floats: tuple[tuple[int, int], ...], said: str
) -> None:
    with pytest.raises(MeasurementError) as caught:
        require_integers("it", found, links, floats)
    assert said in str(caught.value)
    assert caught.value.stage == "prepare"
