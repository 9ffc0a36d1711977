"""Channels of decomposed layers brought back to the original's mean and deviation, inside a plan.

A chain of low rank says less than its layer did: its channels spread less, and behind an
activation that shifts means, too, which adds up over the layers. The last link of each chain is
scaled and shifted so that every channel has the mean and deviation that it has in the original
(REPAIR, arXiv 2211.08403, does so for networks between two others), layer by layer in the
order in which they run, each seeing what was corrected before it. No weight but those of chains
changes, so that what was corrected is part of their factors.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from ..errors import CalibrationError
from ..models.network import Replacements
from ..ops.chain import LinkWeights
from .array_cache import ArrayCache

VERSION = 2
"""Changes with how corrections are computed, so that older ones are not read."""
EXAMPLES = 16
"""Most examples of the fit split that statistics are taken from, all at once: 8, 16, 32 and 64 gave
the demosaicking network the same error to 1.5%."""

Arrays = Mapping[str, NDArray[Any]]


@dataclass(frozen=True, slots=True)
class ChannelMatching:
    """Corrections of one network's plans, kept in the cache. `corrections` makes those that are not
    there (`ChannelMatcher.corrections`); without it (None) they cannot be made again."""

    cache: ArrayCache
    calibration_sha256: str
    corrections: Callable[[Replacements], Arrays] | None

    @property
    def key(self) -> list[object]:
        """What names the corrections, besides the plan's factors."""
        return [VERSION, EXAMPLES, self.calibration_sha256]

    def __call__(self, replacements: Replacements, plan_key: str) -> Replacements:
        """The chains with their channels corrected; `plan_key` names their factors.

        Raises `CalibrationError` where corrections are missing and cannot be made.
        """
        arrays: Arrays | None = self.cache.read("channels", [plan_key])
        if arrays is None:
            if self.corrections is None:
                raise CalibrationError(
                    "the channels of this plan's layers were matched on calibration "
                    f"{self.calibration_sha256[:12]}, which is not cached here: give the same "
                    "pictures again with --calibration"
                )
            arrays = self.corrections(replacements)
            self.cache.write("channels", [plan_key], arrays)
        return {
            name: (chain, corrected_links(weights, name, arrays))
            for name, (chain, weights) in replacements.items()
        }


def corrected_links(
    weights: Sequence[LinkWeights], name: str, arrays: Arrays
) -> tuple[LinkWeights, ...]:
    """The links of one layer's chain, the last of them scaled and shifted."""
    *first, last = weights
    if f"{name}.scale" not in arrays or last.bias is None:
        return tuple(weights)
    scale, shift = arrays[f"{name}.scale"], arrays[f"{name}.shift"]
    weight = last.weight * scale.reshape(-1, *[1] * (last.weight.ndim - 1))
    changed = LinkWeights(
        weight.astype(last.weight.dtype), (last.bias * scale + shift).astype(last.bias.dtype)
    )
    return (*first, changed)
