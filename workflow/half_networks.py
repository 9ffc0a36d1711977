"""The original and the compressed network of a plan, both in float16 or bfloat16.

The files are those in float32: the backend rounds weights and activations by itself.
"""

from __future__ import annotations

from .. import documents
from ..backends.base import SaysHow, in_dtype
from ..backends.registry import open_backend
from ..campaign.setup import Setup, usable_backend
from ..errors import BackendError, UsageError
from ..factors.planned_network import PlannedNetwork
from ..models.network import Network
from ..models.pictures import Calibration
from ..options.networks import VerifyOptions
from ..planner.precision import HALVES, in_half
from ..records import MeasurementPolicy
from .typed_networks import FLOAT32, NAMES, Typed


def timed_against(plan: documents.Plan, backend: str, phase: str) -> tuple[str, str]:
    """The type of the original that all others are timed against; and, where it is not float32,
    why all are timed in the plan's own type alone, in one sentence."""
    if plan.dtype not in HALVES:
        return FLOAT32, ""
    if phase == "training":
        return plan.dtype, f"training steps are timed in one type, {plan.dtype}"
    try:
        in_dtype(usable_backend(backend), MeasurementPolicy(), FLOAT32)
    except BackendError as error:
        return plan.dtype, f"networks are timed in {plan.dtype} alone: {error}"
    return FLOAT32, ""


def check_half(options: VerifyOptions, setup: Setup) -> None:
    """Raise `UsageError` or `BackendError` where networks cannot be timed in the type as asked."""
    dtype = options.dtype
    if options.in_float:
        raise UsageError(f"--in-float belongs to --dtype int8, not to {dtype}")
    if setup.policy.phase == "training" and setup.policy.dtype != dtype:
        raise UsageError(
            f"training steps are timed in the plan's type alone: plan with --dtype {dtype}, or "
            "leave --dtype or --phase out"
        )
    in_dtype(setup.backend, setup.network_policy, dtype)


def in_half_precision(
    options: VerifyOptions,
    setup: Setup,
    planned: PlannedNetwork,
    compressed: Network,
    _pictures: Calibration | None,
) -> dict[str, Typed]:
    """Both networks, by name (see `NAMES`), as they answer on the backend in the type."""
    form, networks = in_half(setup.in_dtype(options.dtype)), (planned.network, compressed)
    return {
        name: Typed(options.dtype, network, form.answering(network), options.dtype)
        for name, network in zip(NAMES, networks, strict=True)
    }


def how_to_run(plan: documents.Plan, dtype: str) -> str:
    """What has to be done with a network that is written in float32 to run it in the type as the
    plan's backend was timed, in one sentence."""
    name = plan.backend or plan.device.backend
    try:
        backend = open_backend(name)
    except BackendError:  # of a package that is not here
        backend = None
    how = backend.how_to_run(dtype) if isinstance(backend, SaysHow) else f"{name} rounds it itself"
    return f"weights are written in float32; to run it in {dtype} as it was timed, {how}"
