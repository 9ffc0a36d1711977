"""Options of the verbs that look and measure: devices, doctor, layers, profile, table."""

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass, replace
from pathlib import Path
from typing import Annotated

from ..reporter import Listening
from . import shared
from .option import Allowed, Crossing, Option, one_of
from .shared import COUNT, DEFAULT_DB, FRACTION, NAME, PHASES, POSITIVE
from .texts import parse_duration, parse_kinds, parse_quantum

USUAL_KINDS = "Comma-separated, the first that applies; default: svd,tucker2."
ALL_KINDS = "Comma-separated; default: all but branched_tucker and cp."
SPECTRA = Option(
    "Write a picture of singular values: .png, .svg or .pdf.",
    crossing=Crossing.NEVER,
    reason="a service draws no singular values",
)
RANK_QUANTUM = Option(
    "Multiple that ranks keep to; auto finds it.",
    replace(COUNT, choices=("auto",)),
    metavar="N|auto",
    parse=parse_quantum,
)
MAX_TIME = Option(
    "Stop after this.", POSITIVE, flags=("--max-time",), metavar="10m", parse=parse_duration
)
RULES = one_of("vbmf", "pr", "energy", "fixed")
ROUNDING = Option("To that multiple: nearest, down or up.", one_of("nearest", "down", "up"))
INTERVAL = Option("Half-width of the speedup's interval that is enough.", FRACTION)
KINDS = Option(ALL_KINDS, NAME, parse=parse_kinds)
REFRESH = Option("Measure again what was measured with other software.")
SHARE = Option(
    "With --device: the devices that fit, which are of one kind, share the layers out.",
    group=shared.DEVICE,
    crossing=Crossing.HERE,
)
PART = Option(
    "Only this part of the layers: 3/32 is the third of 32, about equally long.",
    Allowed(pattern=r"^[1-9][0-9]{0,3}/[1-9][0-9]{0,3}$"),
    metavar="I/N",
)
THIS_BOARD = Option("Measure what only other boards of this kind have measured, too.")
RETRY_FAILED = Option("Try failed candidates again.")
CONTEXT = Option(
    "isolated: each layer alone; marginal: among others.", one_of("isolated", "marginal")
)


@dataclass(frozen=True, slots=True)
class DevicesOptions:
    """There is nothing to say."""


RELEASE = Option("Let this device of the fleet out of quarantine.", metavar="ID")


@dataclass(frozen=True, slots=True, kw_only=True)
class FleetOptions:
    """Whose fleet it is, and which of its devices is let out of quarantine first."""

    release: Annotated[str | None, RELEASE] = None
    db: shared.Db = DEFAULT_DB


@dataclass(frozen=True, slots=True)
class DoctorOptions:
    """Which device is tested, and for how long."""

    backend: Annotated[str, Option("Device family whose A/A test is run.")] = "onnxruntime-cpu"
    _: KW_ONLY
    threads: shared.Threads = 1
    pairs: Annotated[int, Option("Pairs of the A/A test.")] = 12
    reporter: Listening | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class LayersOptions(shared.NetworkOptions):
    """A network, and the rule that chooses ranks for its layers."""

    ranks: Annotated[
        str | None, Option("Ranks by this rule: vbmf, pr, energy or fixed.", RULES)
    ] = None
    mode: Annotated[str | None, shared.MODE] = None
    kinds: Annotated[Sequence[str] | None, Option(USUAL_KINDS, NAME, parse=parse_kinds)] = None
    ratio: shared.Ratio = None
    weakening: shared.Weakening = None
    threshold: shared.Threshold = None
    rank: Annotated[int | None, Option("fixed: the rank.", COUNT)] = None
    rank_quantum: Annotated[int | None, Option("Multiple that ranks keep to.", COUNT)] = None
    rounding: Annotated[str | None, ROUNDING] = None
    final_dense_ratio: shared.FinalDenseRatio = None
    spectra: Annotated[Path | None, SPECTRA] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ProfileOptions(shared.DeviceOptions):
    """What is measured, on which device, and how well."""

    kinds: Annotated[Sequence[str] | None, KINDS] = None
    rank_quantum: Annotated[int | str | None, RANK_QUANTUM] = None
    interval: Annotated[float | None, INTERVAL] = None
    max_time_s: Annotated[float | None, MAX_TIME] = None
    refresh: Annotated[bool, REFRESH] = False
    retry_failed: Annotated[bool, RETRY_FAILED] = False
    this_board: Annotated[bool, THIS_BOARD] = False
    part: Annotated[str | None, PART] = None
    phase: Annotated[str, Option("inference, or training (torch).", one_of(*PHASES))] = "inference"
    dtype: Annotated[str, shared.DTYPE] = "float32"
    context: Annotated[str, CONTEXT] = "isolated"
    device: shared.FleetDevice = None
    any: shared.AnyDevice = False
    share: Annotated[bool, SHARE] = False
    seed: int = 0


@dataclass(frozen=True, slots=True)
class TableOptions:
    """Which rows are shown."""

    model: Annotated[str | None, Option("Source or SHA-256 of a network.")] = None
    _: KW_ONLY
    db: shared.Db = DEFAULT_DB
    devices: Annotated[
        Sequence[str],
        Option("Backend or hardware key; repeat to compare.", flags=("--device",), metavar="NAME"),
    ] = ()
    layer: Annotated[str | None, Option("Only this layer.")] = None
    phase: Annotated[str | None, Option("inference or training.")] = None
    dtypes: Annotated[
        Sequence[str],
        Option("Only this dtype; repeat for others.", shared.DTYPES, flags=("--dtype",)),
    ] = ()
