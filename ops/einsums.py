"""Einstein sums that are a matrix applied to the last axes of something, as linear layers are."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class LinearSum:
    """`matrix_axes`: the weight's axes in the order in which they are a matrix (out, in): first
    those of the result, `outputs` in size, then those that are summed over, `inputs` in size."""

    matrix_axes: tuple[int, ...]
    outputs: tuple[int, ...]
    inputs: tuple[int, ...]

    @property
    def matrix_shape(self) -> tuple[int, int]:
        """(out, in)."""
        return math.prod(self.outputs), math.prod(self.inputs)


def exchanged(equation: str) -> str:
    """Return the equation of the same sum with its two operands in the other order."""
    operands, arrow, result = equation.partition("->")
    first, _, second = operands.partition(",")
    return f"{second},{first}{arrow}{result}"


def linear_sum(equation: str, weight_shape: Sequence[int]) -> LinearSum | None:
    """Return what matrix the second operand is to the first: `...i,oi->...o`, `bti,ihd->bthd`.

    None where the summed axes are not the last ones of the first operand, the new ones not the
    last ones of the result, or an axis of the weight goes through to the result beside one of the
    first operand (a matrix for each head).
    """
    operands, _, result = equation.replace(" ", "").partition("->")
    rows, _, weight = operands.partition(",")
    kept = rows.rstrip(weight.replace(".", ""))
    summed, made = rows[len(kept) :], result[len(kept) :]
    fits = result.startswith(kept) and sorted(weight) == sorted(made + summed)
    single = len(set(weight)) == len(weight) == len(weight_shape)
    single = single and len(set(rows.replace("...", ""))) == len(rows.replace("...", ""))
    if not (summed and made and fits and single) or set(kept) & set(weight):
        return None
    sizes = dict(zip(weight, weight_shape, strict=True))
    return LinearSum(
        tuple(map(weight.index, made + summed)),
        tuple(sizes[one] for one in made),
        tuple(sizes[one] for one in summed),
    )
