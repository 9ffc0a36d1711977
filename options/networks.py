"""Options of the verbs that carry plans out: apply, verify, recover, finetune, report."""

from collections.abc import Callable, Sequence
from dataclasses import KW_ONLY, dataclass, replace
from pathlib import Path
from typing import Annotated, Any

from ..reporter import Listening
from . import shared
from .option import Allowed, Crossing, Option, one_of
from .shared import BACKEND, COUNT, DEFAULT_DB, PHASES

OUTPUT = Option(
    ".onnx, .pt2 or .safetensors.",
    flags=("-o", "--output"),
    required=True,
    crossing=Crossing.FORMAT,
)
PAGE = Option(
    "The page, .html; or the plan's picture alone, .png, .svg or .pdf.", flags=("-o", "--output")
)
PICTURES = Option(
    "The plan's pictures, or their .npz.",
    flags=("--calibration", "--data"),
    group=shared.PICTURES,
    crossing=Crossing.CALIBRATION,
)
DATA = replace(PICTURES, help="The plan's pictures.", flags=("--data", "--calibration"))
PLANS = "Default: the plan's."
REESTIMATE_BN = Option(
    "Estimate batch normalisation's statistics again on the calibration.",
    flags=("--reestimate-bn",),
)
MATCH_CHANNELS = Option(
    "Give each layer's channels the original's mean and deviation on the calibration, where batch "
    "normalisation is folded away.",
    flags=("--match-channels",),
)
IN_DTYPE = Option(
    "int8 writes the network quantised, balanced and calibrated on the calibration; float16 and "
    "bfloat16 say how what is written is run in them.",
    shared.DTYPES,
)
ALSO_IN_DTYPE = Option(
    "int8, float16 or bfloat16 also times and compares both networks in that type, in the same "
    "rounds.",
    shared.DTYPES,
)
InFloat = Annotated[
    Sequence[str],
    Option(
        "A layer that stays in float32 beside int8; repeat.",
        Allowed(pattern=shared.ONE_LINE),
        flags=("--in-float",),
    ),
]
DynamicBatch = Annotated[
    bool,
    Option(
        "Leave the batch open in an .onnx or .pt2 that is exported from torch, where the network "
        "allows it.",
        flags=("--dynamic-batch/--no-dynamic-batch",),
    ),
]
FUNCTION = Option(
    "package.module:callable(model, groups, callbacks).",
    argument="FUNCTION",
    text=str,
    findable=True,
)
FEATURES = Option("Weight of replaced layers' outputs beside the network's.")


@dataclass(frozen=True, slots=True, kw_only=True)
class ApplyOptions(shared.PlannedOptions):
    """The plan and its network, and where the compressed one is written."""

    output: Annotated[Path | None, OUTPUT] = None
    calibration: Annotated[Path | None, PICTURES] = None
    reestimate_bn: Annotated[bool, REESTIMATE_BN] = False
    match_channels: Annotated[bool, MATCH_CHANNELS] = False
    dtype: Annotated[str, IN_DTYPE] = "float32"
    in_float: InFloat = ()
    dynamic_batch: DynamicBatch = True


@dataclass(frozen=True, slots=True, kw_only=True)
class VerifyOptions(shared.PlannedOptions):
    """The plan and its network, and how both are timed and compared."""

    backend: Annotated[str | None, Option(PLANS, BACKEND, group=shared.DEVICE)] = None
    threads: Annotated[int | None, Option(PLANS, COUNT, group=shared.DEVICE)] = None
    phase: Annotated[str | None, Option(PLANS, one_of(*PHASES))] = None
    dtype: Annotated[str, ALSO_IN_DTYPE] = "float32"
    in_float: InFloat = ()
    data: Annotated[Path | None, DATA] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class RecoverOptions(shared.PlannedOptions):
    """The plan and its network, the pictures to train on, and how long."""

    data: Annotated[Path, Option("Pictures: a folder, or an .npz of ready tensors.")]
    output: Annotated[Path, OUTPUT]
    budget_s: shared.Budget = None
    steps: shared.Steps = None
    batch: Annotated[int, Option("Examples of one step.")] = 8
    rate: Annotated[float, Option("Highest rate, as a share of each weight.")] = 5e-4
    features: Annotated[float, FEATURES] = 1.0
    freeze: shared.Freeze = "none"
    resume: Annotated[bool, Option("Go on from the checkpoint beside OUT.")] = False
    dynamic_batch: DynamicBatch = True
    seed: Annotated[int, Option("Seed of the examples.")] = 0
    threads: shared.TorchThreads = None


@dataclass(frozen=True, slots=True)
class FinetuneOptions:
    """The plan, the function that trains, and where the result is written."""

    plan: shared.PlanFile
    function: Annotated[str | Callable[..., Any], FUNCTION]
    _: KW_ONLY
    output: Annotated[Path, OUTPUT]
    model: Annotated[Any, Option("Default: the network that the plan names.", text=str)] = None
    example_input: Any = None
    weights: shared.Weights = None
    budget_s: shared.Budget = None
    steps: shared.Steps = None
    freeze: shared.Freeze = "none"
    dynamic_batch: DynamicBatch = True
    calibration: shared.Calibration = None
    preprocess: shared.Preprocess = None
    threads: shared.TorchThreads = None
    db: shared.Db = DEFAULT_DB
    reporter: Listening | None = None


@dataclass(frozen=True, slots=True)
class ReportOptions:
    """The plan, the page's file, and the store that knows more."""

    plan: shared.PlanFile
    output: Annotated[Path, PAGE]
    db: shared.Db = DEFAULT_DB
