"""Which balance loses least at one tensor between two products, on pictures that were held out.

The tensor and the second's weight are rounded as the quantiser rounds them, with scales from
the fit split, and what that changes in the second's output is summed over the select split.
The positions under a kernel are taken one by one, as if what is lost at them were independent.
The first's weight needs no look: its scales are of its output channels, which are what is
divided.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .balancing import BALANCES, Balance, Floats, multiplied
from .middle_channels import ChannelRanges
from .products import Middle

LEVELS = 255
"""Steps of an activation's scale, from the least value to the largest."""
SIGNED = 127
"""Steps of a weight's scale, to either side."""


def best_balance(
    middle: Middle, weight: Floats, ranges: ChannelRanges, held_out: Floats
) -> Balance:
    """Return the balance that loses least. `weight` is the second link's, `held_out` values of the
    tensor (rows, channels) on other pictures than `ranges` are of."""

    def lost(balance: Balance) -> float:
        return rounding_loss(middle, weight, ranges, held_out, balance)

    return min(BALANCES, key=lost)


def rounding_loss(
    middle: Middle, weight: Floats, ranges: ChannelRanges, held_out: Floats, balance: Balance
) -> float:
    """Return the squared change of the second link's output that rounding makes, summed over rows
    and the kernel's positions."""
    factors = ranges.factors(balance)
    noise = _rounded(held_out / factors, *ranges.together(factors)) * factors - held_out
    exact = by_position(middle, weight)
    scaled = by_position(middle, multiplied(weight, factors, middle.input_axis, middle.groups))
    steps = np.abs(scaled).max(axis=(0, 2), keepdims=True) / SIGNED
    steps[steps == 0] = 1.0
    coarse = np.rint(scaled / steps) * steps / factors
    rows = [
        noise @ coarse_tap.T + held_out @ (coarse_tap - tap).T
        for tap, coarse_tap in zip(exact, coarse, strict=True)
    ]
    return float(sum(np.square(one, dtype=np.float64).sum() for one in rows))


def _rounded(values: Floats, least: float, largest: float) -> Floats:
    low, high = min(least, 0.0), max(largest, 0.0)
    step = (high - low) / LEVELS or 1.0
    zero = np.rint(-low / step)
    return np.asarray((np.clip(np.rint(values / step) + zero, 0, LEVELS) - zero) * step)


def by_position(middle: Middle, weight: Floats) -> NDArray[np.floating]:
    """Return a second link's weight as (kernel positions, outputs, channels), with zeros between
    the groups of a grouped convolution."""
    if middle.second.op_type != "Conv":
        return (weight if middle.input_axis else weight.T)[None]
    outputs, channels = weight.shape[:2]
    taps = np.moveaxis(weight.reshape(outputs, channels, -1), -1, 0)
    if middle.groups == 1:
        return taps
    whole = np.zeros((len(taps), outputs, channels * middle.groups), weight.dtype)
    each = outputs // middle.groups
    for group in range(middle.groups):
        out, own = (
            slice(group * each, (group + 1) * each),
            slice(group * channels, (group + 1) * channels),
        )
        whole[:, out, own] = taps[:, out]
    return whole
