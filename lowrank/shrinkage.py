"""How far factors from data are pulled towards those from the weights alone, on either side."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from ..errors import LayerError
from .moments import Moments

OUTPUT_SHRINKAGE = 0.03
"""Of the output metric where nothing was chosen on held-out pictures."""


@dataclass(frozen=True, slots=True)
class Shrinkage:
    """What factors are made from: each side's second moments are shrunk by that share, in [0, 1],
    towards a multiple of the identity, which knows no data; None leaves the side out.

    So the default says "from the weights alone", and `Shrinkage(a)` "from input moments alone".
    """

    inputs: float | None = None
    """Of the layer's input moments."""
    outputs: float | None = None
    """Of the output metric."""

    def __post_init__(self) -> None:
        for amount in (self.inputs, self.outputs):
            if amount is not None:
                checked_shrinkage(amount)

    @property
    def sides(self) -> int:
        """How many sides have a part in the factors."""
        return (self.inputs is not None) + (self.outputs is not None)

    @classmethod
    def default(cls, moments: Moments | None, outputs: bool) -> Self:
        """Where nothing was chosen: from all that there is."""
        inputs = None if moments is None else default_shrinkage(moments)
        return cls(inputs, OUTPUT_SHRINKAGE if outputs else None)


WEIGHTS_ALONE = Shrinkage()
"""No side has a part."""


def default_shrinkage(moments: Moments) -> float:
    """Weight `n / (n + count)` of the weight-only solution, in (0, 1], where none was chosen on
    held-out pictures (see `selection`).

    The sampling error of a d x d moment falls as d / n, and so does the best linear shrinkage
    (Ledoit and Wolf, 2004). An early layer with 10^5 pixels is left alone (0.001), a last
    layer with 49 pixels a picture is pulled halfway. Pixels of one picture are correlated, so
    choose it on held-out pictures where that is affordable.
    """
    return moments.channels / (moments.channels + moments.count)


def checked_shrinkage(amount: float) -> float:
    """The same, if it is between 0 and 1; else `LayerError`."""
    if not 0 <= amount <= 1:
        raise LayerError(f"shrinkage must be between 0 and 1, not {amount}")
    return amount
