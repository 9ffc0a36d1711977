"""What `verify --dtype` adds: the original and the compressed network, both in another type."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from numpy.typing import NDArray

from .. import documents, stats
from ..errors import UsageError
from ..factors.planned_network import PlannedNetwork
from ..inputs.examples import Given
from ..models.network import Answering, Network, Outputs
from ..models.network_error import NetworkError
from ..models.notes import error_note
from ..models.pictures import Calibration
from ..options.networks import ApplyOptions, VerifyOptions
from ..planner.precision import HALVES, INT8
from ..records import Comparison, content_key

NAMES = ("original", "compressed")
FLOAT32 = "float32"
KNOWN = (FLOAT32, *HALVES, INT8)


@dataclass(frozen=True, slots=True, eq=False)
class Typed:
    """A network in another type than float32: what is timed, and what answers in that type.
    `timed_in` is empty for a file that brings its types along; `recipe`: how it was quantised."""

    dtype: str
    network: Network
    answering: Answering
    timed_in: str = ""
    recipe: str = ""

    def outputs(self, inputs: Given | Mapping[str, NDArray[Any]]) -> Outputs:
        return self.answering.outputs(inputs)


AnyOptions = TypeVar("AnyOptions", ApplyOptions, VerifyOptions)


def as_planned(options: AnyOptions, plan: documents.Plan) -> AnyOptions:
    """The options with what a plan in another type says: which one, and what stays in float32.
    Raises `UsageError` where a third type is asked for, or one that nobody knows."""
    if options.dtype not in KNOWN:
        raise UsageError(f"--dtype is {', '.join(KNOWN)}, not {options.dtype!r}")
    if plan.dtype == FLOAT32:
        return options
    if options.dtype not in (FLOAT32, plan.dtype):
        raise UsageError(
            f"the plan is in {plan.dtype}: leave --dtype out, or plan with --dtype {options.dtype}"
        )
    return replace(options, dtype=plan.dtype, in_float=[*options.in_float, *plan.in_float])


def over_original(of_typed: Mapping[str, Comparison]) -> Comparison:
    """The compressed network against the original, both in the other type, by what each was timed
    against: the original in float32, in the same rounds. Its interval is as wide as if both had
    been timed without the other."""
    original, compressed = (of_typed[name] for name in NAMES)
    mine, other = (
        (one.speedup, one.speedup_low, one.speedup_high) for one in (compressed, original)
    )
    speedup, low, high = stats.product(mine, stats.inverse(other))
    return replace(
        compressed,
        speedup=speedup,
        speedup_low=low,
        speedup_high=high,
        saving_s=original.latency_s - compressed.latency_s,
        original_latency_s=original.latency_s,
    )


def as_promised(
    plan: documents.Plan,
    compressed: Network,
    comparison: Comparison,
    typed: Mapping[str, Typed],
    of_typed: Mapping[str, Comparison],
) -> tuple[Answering, Comparison]:
    """The network that the plan promises something of, and what it is compared with: those in the
    plan's own type."""
    if plan.dtype == FLOAT32:
        return compressed, comparison
    return typed[NAMES[1]], over_original(of_typed) if of_typed else comparison


def typed_key(plan: documents.Plan, name: str, dtype: str) -> str:
    """What names the network in that type among those that are timed."""
    decisions = {n: d.to_json() for n, d in plan.decisions.items()} if name == NAMES[1] else {}
    return content_key([plan.model.sha256, decisions, dtype, name])


def typed_notes(
    planned: PlannedNetwork,
    typed: Mapping[str, Typed],
    comparisons: Mapping[str, Comparison],
    pictures: Calibration | None,
) -> list[documents.NetworkInDtype]:
    """What the document says of each that was timed: its times, by the same names, and its errors
    on the report split, if there are pictures."""
    wanted = None if pictures is None else planned.network.outputs(pictures.report)
    notes = []
    for name, timed in comparisons.items():
        one, error = typed[name], None
        if pictures is not None and wanted is not None:
            outputs, names = one.outputs(pictures.report), pictures.names("report")
            error = NetworkError.of(planned.compared, wanted, outputs, len(names))
        notes.append(
            documents.NetworkInDtype(
                network=name,  # type: ignore[arg-type]
                dtype=one.dtype,  # type: ignore[arg-type]
                recipe=one.recipe,
                latency_s=timed.latency_s,
                speedup=timed.speedup,
                speedup_low=timed.speedup_low,
                speedup_high=timed.speedup_high,
                network_error=None if error is None else error.value,
                errors=None if error is None or pictures is None else error_note(error, names),
            )
        )
    return notes
