"""The original and the compressed network of a plan, both quantised to int8."""

from __future__ import annotations

from ..backends.base import FileWorkload
from ..campaign.setup import Setup
from ..errors import BackendError, UsageError
from ..factors.planned_network import PlannedNetwork
from ..models.network import Network
from ..models.pictures import Calibration
from ..options.networks import VerifyOptions
from ..planner.precision import INT8
from ..quantization.choice import quantised_network
from .typed_networks import NAMES, Typed


def check_int8(options: VerifyOptions, setup: Setup) -> None:
    """Raise `UsageError` or `BackendError` where networks cannot be timed in int8 as asked."""
    if options.data is None:
        raise UsageError("--dtype int8 needs pictures to take ranges from: give --data")
    if setup.policy.phase == "training":
        raise UsageError("training steps are not timed in int8: leave --dtype or --phase out")
    if FileWorkload not in setup.backend.accepts:
        raise BackendError(
            f"{setup.backend.name} runs no int8 files; verify with a backend that does, such as "
            "onnxruntime-cpu"
        )


def in_int8(
    options: VerifyOptions,
    _setup: Setup,
    planned: PlannedNetwork,
    compressed: Network,
    pictures: Calibration | None,
) -> dict[str, Typed]:
    """Both networks in int8, save for the layers that stay in float, by name (see `NAMES`). What a
    plan leaves in float32 is a part of the plan: the original has it in int8."""
    assert pictures is not None, "see `check_int8`"
    of_plan, networks = planned.plan.in_float, (planned.network, compressed)
    kept = [name for name in options.in_float if name not in of_plan], options.in_float
    made = {}
    for name, network, floats in zip(NAMES, networks, kept, strict=True):
        found = quantised_network(planned.network, network, pictures, planned.compared, floats)
        made[name] = Typed(INT8, found.network, found.network, recipe=found.recipe.name)
    return made
