"""Arguments and options that several commands share, and how their text is read."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, TypeVar

import typer

from ..errors import UsageError

_T = TypeVar("_T")

ModelArgument = Annotated[
    str,
    typer.Argument(
        metavar="MODEL",
        help="Zoo name, .onnx file, or package.module:callable.",
        show_default=False,
    ),
]
PlanArgument = Annotated[Path, typer.Argument(metavar="PLAN", help="A plan's JSON file.")]
Backend = Annotated[str, typer.Option(help="Device family; `rankwise devices` lists them.")]
Db = Annotated[
    str, typer.Option(envvar="RANKWISE_DB", metavar="URL", help="Where measurements are kept.")
]
Json = Annotated[bool, typer.Option("--json", help="One JSON document on standard output.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]
Weights = Annotated[Path | None, typer.Option(help=".safetensors, or .pth with plain tensors.")]
InputShape = Annotated[str | None, typer.Option(metavar="N,C,H,W", help="N is the batch.")]
Batch = Annotated[int | None, typer.Option(help="Overrides the batch of --input-shape.")]
Threads = Annotated[int, typer.Option(help="Threads that compute one layer.")]
Calibration = Annotated[
    Path | None, typer.Option(help="Folder of images, or an .npz of ready tensors.")
]
Preprocess = Annotated[
    str | None, typer.Option(help="Name, .toml file, or package.module:callable.")
]
Mode = Annotated[
    str | None,
    typer.Option(
        metavar="NAME|FILE.toml",
        help="Compression mode: which layers may be decomposed: vanilla, mode1, ..., measured; "
        "`plan` can choose it (auto).",
    ),
]
Ratio = Annotated[float | None, typer.Option(help="pr: parameters are divided by this; default 2.")]
Weakening = Annotated[
    float | None, typer.Option(help="vbmf: 1 takes its ranks, 0 keeps full rank; default 0.8.")
]
Threshold = Annotated[float | None, typer.Option(help="energy: share that is kept; default 0.9.")]
FinalDenseRatio = Annotated[
    float | None,
    typer.Option(help="The final dense layer's own parameter reduction; default: the mode's."),
]


def parse_kinds(text: str | None) -> list[str] | None:
    return [kind.strip() for kind in text.split(",")] if text else None


def parse_shape(text: str | None) -> tuple[int, ...] | None:
    if text is None:
        return None
    return _parsed(text, "--input-shape", "1,3,224,224", lambda t: tuple(map(int, t.split(","))))


def parse_duration(text: str | None, option: str = "--max-time") -> float | None:
    if text is None:
        return None
    units = {"s": 1.0, "m": 60.0, "h": 3600.0}
    found = _parsed(text, option, "90s, 10m or 1h", lambda t: float(t[:-1]) * units[t[-1]])
    if not math.isfinite(found):
        raise UsageError(f"{option} {text!r} is no length of time; write it like 10m")
    return found


def parse_quantum(text: str | None) -> int | str | None:
    if text is None or text == "auto":
        return text
    return _parsed(text, "--rank-quantum", "16 or auto", int)


def _parsed(text: str, option: str, example: str, parse: Callable[[str], _T]) -> _T:
    try:
        return parse(text)
    except (ValueError, KeyError, IndexError):
        raise UsageError(f"{option} {text!r} cannot be read; write it like {example}") from None
