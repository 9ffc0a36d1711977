"""In which numbers a plan's networks compute: as they are, quantised to int8, or in half precision.

Errors are always against the original network as it is. What a plan in another type saves is
against the original in that type: that is what its layers were measured against.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Protocol

from ..backends.base import Backend, CompilesAhead, FileWorkload
from ..backends.registry import open_backend
from ..campaign.setup import Setup
from ..errors import BackendError, ModelError, UsageError
from ..factors.assembly import Form
from ..models.compared import Compared
from ..models.network import Answering, Network
from ..models.pictures import Calibration
from ..network_timing.device_outputs import OnDevice
from ..quantization.calibration import Ready
from ..quantization.choice import balanced_by, best_of
from ..records import Decomposition, MeasurementPolicy

VERSION = 5
"""Changes with how networks are quantised, so that older errors are not read."""
HALF_VERSION = 1
"""The same of networks in half precision."""
INT8 = "int8"
HALVES = ("float16", "bfloat16")
PROCESSOR = "torch-cpu"
"""The backend on which networks answer whose own device is away, or compiles each for long."""


class PlanForm(Form, Protocol):
    """A form, with sentences about it for the plan's reader."""

    @property
    def notes(self) -> tuple[str, ...]: ...


@dataclass(frozen=True, eq=False)
class InInt8:
    """Networks quantised with ranges from the fit split, channels balanced as usual; layers whose
    decision has a precision stay in float32. How much wider ranges are is chosen once, for
    `original`. `apply` looks at a few more ways to balance, and takes the one that loses least."""

    original: Network
    pictures: Calibration
    compared: Compared
    mixed: bool = True
    notes: tuple[str, ...] = ()

    @property
    def key(self) -> list[object]:
        """What of it networks depend on."""
        return [INT8, VERSION, self.pictures.sha256, str(self.compared)]

    @cached_property
    def margin(self) -> float:
        ready = Ready.of(self.original, self.pictures)
        reference = self.original.outputs(self.pictures.select)
        found = best_of(ready, [balanced_by(ready)], reference, self.pictures, self.compared)
        return found.recipe.margin

    def __call__(self, network: Network, decisions: Mapping[str, Decomposition]) -> Network:
        in_float = [name for name, one in decisions.items() if one.precision]
        ready = Ready.of(network, self.pictures)
        try:
            return ready.quantised(balanced_by(ready, in_float=in_float).with_margin(self.margin))
        except ModelError:
            if not in_float:
                raise
            return ready.network  # nothing is left to quantise: the original was not refused

    def answering(self, network: Network) -> Network:
        return network


@dataclass(frozen=True, slots=True, eq=False)
class InHalf:
    """Networks as they are, which the backend runs in the policy's type: weights and activations
    are rounded as it does it where it is timed."""

    backend: Backend
    policy: MeasurementPolicy
    notes: tuple[str, ...]
    mixed: bool = False

    @property
    def key(self) -> list[object]:
        where = self.backend.fingerprint().key
        return [self.policy.dtype, HALF_VERSION, where, self.policy.key]

    def __call__(self, network: Network, _decisions: Mapping[str, Decomposition]) -> Network:
        return network

    def answering(self, network: Network) -> Answering:
        return OnDevice(network, self.backend, self.policy)


def form_of(setup: Setup, calibration: Calibration | None, compared: Compared) -> PlanForm | None:
    """What networks of plans under the setup's policy become; None where they stay as they are.

    Raises `UsageError` without pictures where they are needed, `BackendError` for a device that
    cannot run such networks.
    """
    make = FORMS.get(setup.policy.dtype)
    return None if make is None else make(setup, calibration, compared)


def _in_int8(setup: Setup, calibration: Calibration | None, compared: Compared) -> PlanForm:
    if calibration is None:
        raise UsageError("int8 needs pictures to take ranges from: give --calibration")
    if FileWorkload not in setup.backend.accepts:
        raise BackendError(
            f"{setup.backend.name} runs no files, and a network in int8 is one: plan with a "
            "backend that does, such as onnxruntime-cpu"
        )
    return InInt8(setup.network, calibration, compared)


def _in_half(setup: Setup, _calibration: Calibration | None, _compared: Compared) -> PlanForm:
    return in_half(setup)


def in_half(setup: Setup) -> PlanForm:
    """The form for half precision: on the setup's own device, if it is here and does not compile
    each network for long; else on the processor, by torch."""
    backend, dtype = setup.backend, setup.policy.dtype
    policy = replace(setup.policy, phase="inference", frozen="", context="in_network")
    if backend.accepts and not isinstance(backend, CompilesAhead):
        said = f"network errors are of networks in {dtype} on {backend.name}"
        return InHalf(backend, backend.resolve_policy(policy), (said,))
    why = "compiles each network for long" if backend.accepts else "is not in this machine"
    said = (
        f"network errors are of networks in {dtype} as torch computes it on this machine's "
        f"processor: {backend.name} {why}"
    )
    policy = MeasurementPolicy(dtype=dtype, batch=policy.batch, context="in_network")
    return InHalf(open_backend(PROCESSOR), policy, (said,))


FORMS: Mapping[str, Callable[[Setup, Calibration | None, Compared], PlanForm]] = {
    INT8: _in_int8,
    **dict.fromkeys(HALVES, _in_half),
}
"""By dtype; float32 is what networks are in."""
