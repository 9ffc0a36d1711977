"""In which numbers a plan's networks compute: as they are, or quantised to int8.

Errors are always against the original network as it is. What a plan in int8 saves is against the
original in int8: that is what its layers were measured against.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from ..backends.base import FileWorkload
from ..campaign.setup import Setup
from ..errors import BackendError, ModelError, UsageError
from ..models.compared import Compared
from ..models.network import Network
from ..models.pictures import Calibration
from ..quantization.calibration import Ready
from ..quantization.choice import best_of, by_layer
from ..records import Decomposition

VERSION = 3
"""Changes with how networks are quantised, so that older errors are not read."""
INT8 = "int8"


@dataclass(frozen=True, eq=False)
class InInt8:
    """Networks quantised with ranges from the fit split, tensors balanced one by one on the
    select split; layers whose decision has a precision stay in float32. How much wider ranges are
    is chosen once, for `original`. `apply` looks at a few more ways to balance, and takes the one
    that loses least."""

    original: Network
    pictures: Calibration
    compared: Compared

    @property
    def key(self) -> list[object]:
        """What of it networks depend on."""
        return [INT8, VERSION, self.pictures.sha256, str(self.compared)]

    @cached_property
    def margin(self) -> float:
        ready = Ready.of(self.original, self.pictures)
        reference = self.original.outputs(self.pictures.select)
        balanced = by_layer(ready, self.pictures)
        found = best_of(ready, [balanced], reference, self.pictures, self.compared)
        return found.recipe.margin

    def __call__(self, network: Network, decisions: Mapping[str, Decomposition]) -> Network:
        in_float = [name for name, one in decisions.items() if one.precision]
        ready = Ready.of(network, self.pictures)
        try:
            recipe = by_layer(ready, self.pictures, in_float)
            return ready.quantised(recipe.with_margin(self.margin))
        except ModelError:
            if not in_float:
                raise
            return ready.network  # nothing is left to quantise: the original was not refused


def form_of(setup: Setup, calibration: Calibration | None, compared: Compared) -> InInt8 | None:
    """What networks of plans under the setup's policy become; None where they stay as they are.

    Raises `UsageError` without pictures, `BackendError` for a device that runs no files.
    """
    if setup.policy.dtype != INT8:
        return None
    if calibration is None:
        raise UsageError("--dtype int8 needs pictures to take ranges from: give --calibration")
    if FileWorkload not in setup.backend.accepts:
        raise BackendError(
            f"{setup.backend.name} runs no files, and a network in int8 is one: plan with a "
            "backend that does, such as onnxruntime-cpu"
        )
    return InInt8(setup.network, calibration, compared)
