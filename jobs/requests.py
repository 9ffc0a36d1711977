"""What may be asked of a job, as pydantic models: the bodies of the API, and what is stored.

They derive from the verbs' options. A request holds plain values and ids of things that the
service has; a text must be one of a few words or fit a pattern, so that no path of the machine
and no name of a function comes over HTTP.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import MISSING, dataclass
from functools import reduce
from operator import or_
from types import GenericAlias, NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field, create_model

from ..options.measuring import DevicesOptions, LayersOptions, ProfileOptions
from ..options.networks import ApplyOptions, VerifyOptions
from ..options.option import Allowed, Crossing, OptionField, option_fields
from ..options.planning import FrontOptions, PlanOptions
from ..options.shared import NAME

JobKind = Literal[
    "devices", "layers", "profile", "shared_profile", "front", "plan", "apply", "verify"
]
Id = Annotated[str, Field(pattern=NAME.pattern)]
Format = Literal["onnx", "safetensors"]
MAX_ITEMS = 20
"""Things that a list may name."""


class Request(BaseModel):
    """Common to all; unknown fields are refused."""

    model_config = ConfigDict(extra="forbid")


@dataclass(frozen=True, slots=True)
class JobType:
    """A kind of job: the verb's options, and the route that takes its request."""

    options: type
    path: str
    does: str


JOB_TYPES: dict[JobKind, JobType] = {
    "devices": JobType(DevicesOptions, "/devices", "Try every backend again."),
    "layers": JobType(LayersOptions, "/layers", "Work out the ranks that a rule chooses."),
    "profile": JobType(
        ProfileOptions, "/profiles", "Measure what is missing of a network on a device."
    ),
    "shared_profile": JobType(
        ProfileOptions,
        "/shared_profiles",
        "Measure what is missing of a network, its layers shared out over all devices of a kind.",
    ),
    "front": JobType(
        FrontOptions,
        "/fronts",
        "Work out the front of speedup against fidelity from what was measured.",
    ),
    "plan": JobType(
        PlanOptions,
        "/plans",
        "Search for a plan. One of `max_error` and `target_speedup` is needed.",
    ),
    "apply": JobType(ApplyOptions, "/applied", "Write the compressed network."),
    "verify": JobType(
        VerifyOptions,
        "/verifications",
        "Time the compressed network against the original, and compare their outputs.",
    ),
}


def request_model(kind: JobKind) -> type[Request]:
    """The model of a verb's options: values with their bounds, ids for networks and files."""
    known = option_fields(JOB_TYPES[kind].options)
    planned = any(field.option.crossing is Crossing.PLAN for field in known)
    model: dict[str, Any] = {}
    for field in known:
        match field.option.crossing:
            case Crossing.VALUE:
                model[field.name] = _value(field)
            case Crossing.NETWORK if planned:
                described = Field(None, description="Default: the one with the plan's hash.")
                model["network"] = (Id | None, described)
            case Crossing.NETWORK | Crossing.PLAN as crossing:
                model[crossing.value] = (Id, ...)
            case Crossing.CALIBRATION:
                model["calibration"] = (Id | None, None)
            case Crossing.FLEET:
                model["device"] = _value(field)
            case Crossing.FORMAT:
                model["format"] = (Format, "onnx")
    name = f"{kind.title().replace('_', '')}Request"
    return create_model(name, __base__=Request, __doc__=JOB_TYPES[kind].does, **model)


def _value(field: OptionField) -> tuple[Any, Any]:
    default = ... if field.default is MISSING else field.default
    default = [] if default == () else default  # as JSON has it
    kind = bounded(field.hint, field.option.allowed, least=0 if default == [] else 1)
    return kind, Field(default, description=field.option.help)


def bounded(hint: Any, allowed: Allowed, least: int = 1) -> Any:
    """The type with its bounds, a list with at least so many items; `TypeError` for a text that
    could say anything."""
    if get_origin(hint) in (Union, UnionType):
        return reduce(or_, (bounded(part, allowed, least) for part in get_args(hint)))
    if get_origin(hint) is Sequence:
        items: Any = GenericAlias(list, (bounded(get_args(hint)[0], allowed),))
        return Annotated[items, Field(min_length=least, max_length=MAX_ITEMS)]
    if hint in (bool, NoneType):
        return hint
    if hint is not str:
        return Annotated[
            hint,
            Field(
                ge=allowed.minimum,
                gt=allowed.above,
                le=allowed.maximum,
                lt=allowed.below,
                allow_inf_nan=False if hint is float else None,
            ),
        ]
    if allowed.choices:
        return Literal[allowed.choices]
    if allowed.pattern is None:
        raise TypeError("a request must not hold just any text")
    return Annotated[str, Field(pattern=allowed.pattern)]


REQUESTS: dict[JobKind, type[Request]] = {kind: request_model(kind) for kind in JOB_TYPES}
"""The model of each kind of job."""
