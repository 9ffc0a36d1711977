"""Options that several verbs share."""

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

from ..reporter import Listening
from .device_query import parse_query
from .option import Allowed, Crossing, Option, one_of
from .texts import parse_duration, parse_input, parse_shape

if TYPE_CHECKING:
    from ..documents import Plan

    PlanSource: TypeAlias = Plan | Path | str
else:
    PlanSource = Any

DEFAULT_DB = "sqlite:///rankwise.db"
NO_FUNCTIONS = "a service runs no functions of its callers"
PHASES = ("inference", "training")

NAME = Allowed(pattern=r"^[0-9A-Za-z_]{1,160}$")
"""A name that comes over HTTP is never a path, a module or a function."""
BACKEND = Allowed(
    pattern=r"^[a-z0-9-]{1,40}(:[a-z_]{1,20}=[0-9a-z.-]{1,20}(,[a-z_]{1,20}=[0-9a-z.-]{1,20}){0,9})?$"
)
_WORD = r"(id|label|backend|hardware)=[!-~]{1,200}"
DEVICES = Allowed(pattern=rf"^{_WORD}( {_WORD}){{0,9}}$")
COUNT = Allowed(minimum=1, maximum=4096)
TRIALS = Allowed(minimum=0, maximum=10_000)
LIMIT = Allowed(minimum=1, maximum=2**50)
POSITIVE = Allowed(above=0, maximum=1e6)
FRACTION = Allowed(above=0, below=1)

MODEL_FORMS = (
    "Zoo name, .onnx file, package.module:callable, timm:NAME, torchvision:NAME, or hf:OWNER/NAME."
)
MODEL = Option(MODEL_FORMS, argument="MODEL", text=str, crossing=Crossing.NETWORK)
Model = Annotated[Any, MODEL]
PLANNED_MODEL = replace(
    MODEL,
    help=f"{MODEL_FORMS} Left out: the one that the plan names.",
    argument="MODEL",
    findable=True,
)
PLAN_FILE = Option(
    "A plan's JSON file. Left out: the newest one in the working directory for MODEL.",
    argument="PLAN",
    text=Path,
    findable=True,
    crossing=Crossing.PLAN,
)
PlanFile = Annotated[PlanSource, PLAN_FILE]
NETWORK, DEVICE, PICTURES = "Network", "Device", "Pictures"
EVERYWHERE = "Every command"
"""Groups of options in --help."""

STORE = Option(
    "Where measurements are kept.",
    group=EVERYWHERE,
    metavar="URL",
    envvar="RANKWISE_DB",
    crossing=Crossing.NEVER,
    reason="a service has a store of its own",
)
Db = Annotated[str, STORE]
Weights = Annotated[
    Path | None,
    Option(
        ".safetensors, its .index.json, or .pth with plain tensors.",
        group=NETWORK,
        crossing=Crossing.WITH_NETWORK,
    ),
]
InputShape = Annotated[
    Sequence[int] | None,
    Option(
        "N is the batch.",
        metavar="N,C,H,W",
        parse=parse_shape,
        group=NETWORK,
        crossing=Crossing.WITH_NETWORK,
    ),
]
INPUTS = Option(
    "One input's batch, where the network does not say it; repeat for others.",
    flags=("--input",),
    metavar="NAME=SHAPE[:DTYPE]",
    parse=parse_input,
    repeated=True,
    group=NETWORK,
    crossing=Crossing.WITH_NETWORK,
)
Inputs = Annotated[Sequence[tuple[str, tuple[int, ...], str]], INPUTS]
BACKENDS = Option(
    "Device family, as `rankwise devices` lists them. Default: the one on which the network was "
    "measured last, else the best for its kind of file that works here.",
    BACKEND,
    group=DEVICE,
)
Backend = Annotated[str | None, BACKENDS]
FLEET_DEVICE = Option(
    "With --server: devices of its fleet, one job for each that fits; all words have to fit.",
    DEVICES,
    metavar="'label=L backend=B hardware=H id=I'",
    parse=parse_query,
    group=DEVICE,
    crossing=Crossing.FLEET,
)
FleetDevice = Annotated[str | None, FLEET_DEVICE]
ANY = Option(
    "With --device: one job, for whichever of them is free first.",
    group=DEVICE,
    crossing=Crossing.HERE,
)
AnyDevice = Annotated[bool, ANY]
Batch = Annotated[int | None, Option("Overrides the batch of --input-shape.", COUNT, group=NETWORK)]
Threads = Annotated[int, Option("Threads that compute one layer.", COUNT, group=DEVICE)]
TorchThreads = Annotated[int | None, Option("Default: torch's.", COUNT)]
Calibration = Annotated[
    Path | None,
    Option(
        "Folder of images, .npz with an array an input, or package.module:callable.",
        group=PICTURES,
        crossing=Crossing.CALIBRATION,
    ),
]
PREPROCESS = Option(
    "Name, .toml file, or package.module:callable.",
    one_of("imagenet", "caffe-bgr", "unit"),
    group=PICTURES,
)
Preprocess = Annotated[str | None, PREPROCESS]
MODE = Option(
    "Compression mode: which layers may be decomposed: vanilla, mode1, ..., measured; `plan` can "
    "choose it (auto).",
    NAME,
    metavar="NAME|FILE.toml",
)
Ratio = Annotated[float | None, Option("pr: parameters are divided by this; default 2.", POSITIVE)]
Weakening = Annotated[
    float | None,
    Option(
        "vbmf: 1 takes its ranks, 0 keeps full rank; default 0.8.", Allowed(minimum=0, maximum=1)
    ),
]
Threshold = Annotated[
    float | None, Option("energy: share that is kept; default 0.9.", Allowed(above=0, maximum=1))
]
FinalDenseRatio = Annotated[
    float | None,
    Option("The final dense layer's own parameter reduction; default: the mode's.", POSITIVE),
]
Seed = Annotated[int, Option("Seed of search and split.", Allowed(minimum=0, maximum=2**31 - 1))]
DTYPES = one_of("float32", "float16", "bfloat16", "int8")
DTYPE = Option("Type of weights and activations: float32, float16, bfloat16 or int8.", DTYPES)
BUDGET = Option("Train for this long.", flags=("--budget",), metavar="5m", parse=parse_duration)
ONE_LINE = r"^[^\x00-\x1f]{1,1000}$"
"""Names of layers and outputs may hold anything that a line can."""
COMPARE = Option(
    "Outputs that count in the network error, or parts of them, by weight; default: all alike.",
    Allowed(pattern=ONE_LINE),
    metavar="NAME[=WEIGHT],...",
    group=PICTURES,
)
Budget = Annotated[float | None, BUDGET]
Steps = Annotated[int | None, Option("Train for so many steps.")]
Freeze = Annotated[
    str, Option("sequential[:STEPS] freezes part of the factors in turns of so many steps.")
]


@dataclass(frozen=True, slots=True)
class NetworkOptions:
    """A network. What inherits this class, or one below, adds options that have a keyword."""

    model: Model
    example_input: Any = None
    _: KW_ONLY
    weights: Weights = None
    input_shape: InputShape = None
    inputs: Inputs = ()
    batch: Batch = None


@dataclass(frozen=True, slots=True, kw_only=True)
class DeviceOptions(NetworkOptions):
    """A network on a device, and the store of what was measured there."""

    backend: Backend = None
    db: Db = DEFAULT_DB
    threads: Threads = 1
    reporter: Listening | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchOptions(DeviceOptions):
    """A network on a device, and the pictures on which its errors are measured."""

    calibration: Calibration = None
    preprocess: Preprocess = None
    compare: Annotated[str | None, COMPARE] = None
    seed: Seed = 0


@dataclass(frozen=True, slots=True)
class PlannedOptions:
    """A plan and its network."""

    plan: PlanFile
    model: Annotated[Any, PLANNED_MODEL]
    example_input: Any = None
    _: KW_ONLY
    weights: Weights = None
    preprocess: Preprocess = None
    db: Db = DEFAULT_DB
    reporter: Listening | None = None
