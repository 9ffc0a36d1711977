"""Options of `tune`, which does what profile, plan, apply and verify do: it takes theirs."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

from . import measuring, networks, planning

OUTPUT = replace(
    networks.OUTPUT,
    help="The compressed network: .onnx, .pt2 or .safetensors; the plan is written beside it. "
    "Default: NAME.small.onnx, of a torch network .safetensors.",
    required=False,
)
MAX_ERROR = replace(
    planning.MAX_ERROR,
    help=f"{planning.MAX_ERROR.help} Default, where no other goal is given: 0.1.",
)
MAX_TIME = replace(
    planning.MAX_TIME,
    help="About how long measuring and searching may take: 10m, 1h. The next run goes on.",
)


@dataclass(frozen=True, slots=True, kw_only=True)
class TuneOptions(planning.PlanGoals):
    """What `plan` may be told, how candidates are measured, and where the result is written."""

    output: Annotated[Path | None, OUTPUT] = None
    max_error: Annotated[float | None, MAX_ERROR] = None
    max_time_s: Annotated[float | None, MAX_TIME] = None
    kinds: Annotated[Sequence[str] | None, measuring.KINDS] = None
    rank_quantum: Annotated[int | str | None, measuring.RANK_QUANTUM] = None
    interval: Annotated[float | None, measuring.INTERVAL] = None
    refresh: Annotated[bool, measuring.REFRESH] = False
    retry_failed: Annotated[bool, measuring.RETRY_FAILED] = False
    dynamic_batch: networks.DynamicBatch = True
