"""The pull towards the factors from weights alone is a share: none, all, or in between."""

from __future__ import annotations

import pytest

from rankwise.errors import LayerError
from rankwise.lowrank.shrinkage import checked_shrinkage


@pytest.mark.parametrize("amount", [0, 1e-9, 0.5, 1 - 1e-9, 1])
def test_a_share_is_taken_as_it_is(amount: float) -> None:
    assert checked_shrinkage(amount) == amount


@pytest.mark.parametrize("amount", [-1.0, -1e-9, 1 + 1e-9, 2.0, float("nan"), float("inf")])
def test_what_is_no_share_is_refused(amount: float) -> None:
    with pytest.raises(LayerError, match=f"between 0 and 1, not {amount}"):
        checked_shrinkage(amount)
