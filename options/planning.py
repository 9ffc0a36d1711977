"""Options of the verbs that search and explain: plan, pareto, front, explain, what-if."""

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass, replace
from pathlib import Path
from typing import Annotated, Any

from . import shared
from .option import Allowed, Crossing, Option, one_of
from .shared import DEFAULT_DB, FRACTION, LIMIT, NO_FUNCTIONS, PHASES, POSITIVE, TRIALS
from .texts import parse_dtypes, parse_duration

MAX_TIME = Option(
    "Leave the best plan so far after 90s, 10m, 1h.",
    POSITIVE,
    flags=("--max-time",),
    metavar="TIME",
    parse=parse_duration,
)
SAMPLER = Option("Optuna sampler by name.", one_of("tpe", "random", "nsgaii", "gp", "cmaes"))
REFINE = ("--refine/--no-refine",)
OUTPUT = Option("The plan's file.", flags=("-o", "--output"), required=True, crossing=Crossing.HERE)
MAX_ERROR = Option("Limit on the network error (relative output error).", POSITIVE)
MAX_PARETO_ERROR = Option("Largest network error on the front, as it is modelled.", POSITIVE)
EVALUATE = Option(
    "Your own score.",
    metavar="package.module:callable",
    crossing=Crossing.NEVER,
    reason=NO_FUNCTIONS,
)
FLOOR = Option("Least score of --evaluate.", crossing=Crossing.NEVER, reason=NO_FUNCTIONS)
CONFIDENCE = Option("Probability that the limit holds on new pictures.", FRACTION)
WEIGHT = Option("With --phase both: the share of training in what is saved.", FRACTION)
PHASE = Option("inference, training or both.", one_of(*PHASES, "both"))
RANK_SELECTION = Option(
    "search, or one rank a kind, by rule: pr, vbmf or energy.",
    one_of("search", "pr", "vbmf", "energy"),
)
ON_FRONT = ("float32", "int8")
DTYPES = Option(
    "Plans in these dtypes on one front, over the original in float32: float32, int8 or both.",
    one_of(*ON_FRONT),
    metavar="float32,int8",
    parse=parse_dtypes,
)
"""Without a word: in float32."""
DEVICES = Option(
    "Backend, hardware key, or words as `label=lab-a`, of devices that were measured, anywhere; "
    "repeat for one plan that serves all. Each one's own best plan is written beside it.",
    Allowed(pattern=rf"{shared.DEVICES.pattern}|^[a-z0-9.-]{{1,40}}$"),
    flags=("--device",),
    group=shared.DEVICE,
)
PLAN_OR_LAYER = replace(
    shared.PLAN_FILE,
    help=f"{shared.PLAN_FILE.help} With --layer it may be left out: all candidates of the layer.",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanGoals(shared.SearchOptions):
    """What a plan must keep, what it may choose from, and how hard it is searched for."""

    output: Annotated[Path | None, OUTPUT] = None
    max_error: Annotated[float | None, MAX_ERROR] = None
    target_speedup: Annotated[float | None, Option("Least error at this speedup.", POSITIVE)] = None
    max_params: Annotated[int | None, Option("Limit on parameters.", LIMIT)] = None
    max_weight_bytes: Annotated[int | None, Option("Limit on the weights' bytes.", LIMIT)] = None
    evaluate: Annotated[str | None, EVALUATE] = None
    floor: Annotated[float | None, FLOOR] = None
    confidence: Annotated[float, CONFIDENCE] = 0.9
    max_time_s: Annotated[float | None, MAX_TIME] = None
    trials: Annotated[int, Option("Trials of an Optuna study over sums.", TRIALS)] = 0
    sampler: Annotated[str, SAMPLER] = "tpe"
    refine: Annotated[bool, Option("Time the whole network, too.", flags=REFINE)] = True
    phase: Annotated[str, PHASE] = "inference"
    dtype: Annotated[str, shared.DTYPE] = "float32"
    training_weight: Annotated[float, WEIGHT] = 0.5
    mode: Annotated[str, shared.MODE] = "vanilla"
    rank_selection: Annotated[str, RANK_SELECTION] = "search"
    ratio: shared.Ratio = None
    weakening: shared.Weakening = None
    threshold: shared.Threshold = None
    final_dense_ratio: shared.FinalDenseRatio = None
    constraints: Sequence[Any] = ()
    """Constraints of the caller's own (`planner.constraint.Constraint`)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PlanOptions(PlanGoals):
    """A plan for one device, or one for several."""

    devices: Annotated[Sequence[str], DEVICES] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class ParetoOptions(shared.SearchOptions):
    """How far the front of speedup against fidelity goes, and what it is made from."""

    max_error: Annotated[float, MAX_PARETO_ERROR] = 0.5
    points: Annotated[int, Option("Error limits to solve for.")] = 12
    trials: Annotated[int, Option("Trials of a study with two objectives.", TRIALS)] = 0
    sampler: Annotated[str, SAMPLER] = "nsgaii"
    refine: Annotated[bool, Option("Time every point as a whole network.", flags=REFINE)] = False
    mode: Annotated[str, shared.MODE] = "vanilla"
    dtypes: Annotated[Sequence[str] | None, DTYPES] = None
    limits: Sequence[float] = ()
    """Measured network errors that a plan is made for each of, in place of `points`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FrontOptions(shared.SearchOptions):
    """The error limits that a service's front is made for, and what it is made from."""

    max_errors: Annotated[Sequence[float] | None, Option("Network errors.", POSITIVE)] = None
    dtypes: Annotated[Sequence[str] | None, DTYPES] = None


@dataclass(frozen=True, slots=True)
class ExplainOptions:
    """What is explained: a plan, or a layer."""

    plan: Annotated[shared.PlanSource | None, PLAN_OR_LAYER] = None
    _: KW_ONLY
    layer: Annotated[str | None, Option("Only this layer, all candidates.")] = None
    device: Annotated[str | None, Option("Backend or hardware key.")] = None
    db: shared.Db = DEFAULT_DB


@dataclass(frozen=True, slots=True)
class WhatIfOptions:
    """An edited plan, and where its network and pictures are."""

    plan: shared.PlanFile
    model: Annotated[Any, shared.PLANNED_MODEL] = None
    example_input: Any = None
    _: KW_ONLY
    calibration: shared.Calibration = None
    preprocess: shared.Preprocess = None
    db: shared.Db = DEFAULT_DB
    weights: shared.Weights = None
