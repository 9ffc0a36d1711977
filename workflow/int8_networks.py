"""What `verify --dtype int8` adds: the original and the compressed network, both in int8."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import exp, hypot, log
from typing import TypeVar

from .. import documents
from ..backends.base import FileWorkload
from ..campaign.setup import Setup
from ..errors import BackendError, UsageError
from ..factors.planned_network import PlannedNetwork
from ..models.network import Network
from ..models.network_error import NetworkError
from ..models.notes import error_note
from ..models.pictures import Calibration
from ..options.networks import ApplyOptions, VerifyOptions
from ..quantization.choice import Quantised, quantised_network
from ..records import Comparison, content_key

NAMES = ("original", "compressed")


def check_int8(options: VerifyOptions, setup: Setup) -> None:
    """Raise `UsageError` or `BackendError` where networks cannot be timed in int8 as asked."""
    if options.dtype != "int8":
        return
    if options.data is None:
        raise UsageError("--dtype int8 needs pictures to take ranges from: give --data")
    if setup.policy.phase == "training":
        raise UsageError("training steps are not timed in int8: leave --dtype or --phase out")
    if FileWorkload not in setup.backend.accepts:
        raise BackendError(
            f"{setup.backend.name} runs no int8 files; verify with a backend that does, such as "
            "onnxruntime-cpu"
        )


AnyOptions = TypeVar("AnyOptions", ApplyOptions, VerifyOptions)


def as_planned(options: AnyOptions, plan: documents.Plan) -> AnyOptions:
    """The options with what a plan in int8 says: that it is one, and what stays in float32."""
    if not plan.in_int8:
        return options
    return replace(options, dtype="int8", in_float=[*options.in_float, *plan.in_float])


def over_int8(of_int8: Mapping[str, Comparison]) -> Comparison:
    """The compressed network against the original, both in int8, by what each was timed against:
    the original in float32, in the same rounds. Its interval is as wide as if both had been timed
    without the other."""
    original, compressed = (of_int8[name] for name in NAMES)
    speedup = compressed.speedup / original.speedup
    width = hypot(*(log(one.speedup_high / one.speedup_low) / 2 for one in (original, compressed)))
    saved_s = original.latency_s - compressed.latency_s
    return replace(
        compressed,
        speedup=speedup,
        speedup_low=speedup * exp(-width),
        speedup_high=speedup * exp(width),
        saving_s=saved_s,
        original_latency_s=original.latency_s,
    )


def as_promised(
    plan: documents.Plan,
    compressed: Network,
    comparison: Comparison,
    quantised: Mapping[str, Quantised],
    of_int8: Mapping[str, Comparison],
) -> tuple[Network, Comparison]:
    """The network that the plan promises something of, and what it is compared with: those in int8
    if it is a plan in int8."""
    if not plan.in_int8:
        return compressed, comparison
    return quantised[NAMES[1]].network, over_int8(of_int8)


def in_int8(
    planned: PlannedNetwork, compressed: Network, pictures: Calibration, in_float: Sequence[str]
) -> dict[str, Quantised]:
    """Both networks in int8, save for these layers, by name (see `NAMES`). What a plan leaves in
    float32 is a part of the plan: the original has it in int8."""
    of_plan, networks = planned.plan.in_float, (planned.network, compressed)
    kept = [name for name in in_float if name not in of_plan], in_float
    return {
        name: quantised_network(planned.network, network, pictures, planned.compared, floats)
        for name, network, floats in zip(NAMES, networks, kept, strict=True)
    }


def int8_key(plan: documents.Plan, name: str) -> str:
    """What names the network in int8 among those that are timed."""
    decisions = {n: d.to_json() for n, d in plan.decisions.items()} if name == NAMES[1] else {}
    return content_key([plan.model.sha256, decisions, "int8", name])


def int8_notes(
    planned: PlannedNetwork,
    found: Mapping[str, Quantised],
    comparisons: Mapping[str, Comparison],
    pictures: Calibration,
) -> list[documents.Int8Network]:
    """What the document says of each: its times, by the same names, and its errors on the report
    split."""
    inputs, names = pictures.report, pictures.names("report")
    wanted = planned.network.outputs(inputs)
    notes = []
    for name, one in found.items():
        outputs, timed = one.network.outputs(inputs), comparisons[name]
        error = NetworkError.of(planned.compared, wanted, outputs, len(names))
        notes.append(
            documents.Int8Network(
                network=name,  # type: ignore[arg-type]
                recipe=one.recipe.name,
                latency_s=timed.latency_s,
                speedup=timed.speedup,
                speedup_low=timed.speedup_low,
                speedup_high=timed.speedup_high,
                network_error=error.value,
                errors=error_note(error, names),
            )
        )
    return notes
