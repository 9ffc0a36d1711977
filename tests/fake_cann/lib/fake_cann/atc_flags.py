"""ATC's flags: what is asked for, and the codes of what is wrong with it (G CLI_options,
error_codes; GS main_impl.cc). Behaviour 38."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from .codes import CHIPS, Chip


class AtcError(Exception):
    """`code` is a letter and digits, as ATC prints them before the text."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code


FP16, BF16, FP32 = "float16", "bfloat16", "float32"
MODES = {
    **dict.fromkeys(("force_fp16", "allow_fp32_to_fp16", "allow_mix_precision"), FP16),
    **dict.fromkeys(("allow_mix_precision_fp16", "cube_fp16in_fp32out", "force_fp32"), FP16),
    **dict.fromkeys(("allow_mix_precision_bf16", "allow_fp32_to_bf16"), BF16),
    "must_keep_origin_dtype": FP32,
}
MODES_V2 = {
    **dict.fromkeys(("fp16", "cube_fp16in_fp32out", "mixed_float16"), FP16),
    **{"mixed_bfloat16": BF16, "origin": FP32},
}
CHOICES: dict[str, tuple[str, ...]] = {
    "mode": ("0", "1", "6"),
    "framework": ("0", "1", "3", "5"),
    "input_format": ("NCHW", "NCDHW", "ND"),
    "precision_mode": tuple(MODES),
    "precision_mode_v2": tuple(MODES_V2),
    "output_type": ("FP32", "FP16", "UINT8", "INT8"),
    "enable_small_channel": ("0", "1"),
    "log": ("null", "debug", "info", "warning", "error"),
    "op_compiler_cache_mode": ("disable", "enable", "force"),
    "op_debug_level": ("0", "1", "2", "3", "4"),
    "op_select_implmode": (
        *("high_performance", "high_precision"),
        *("high_performance_for_all", "high_precision_for_all"),
    ),
}
FREE_TEXT = (
    *("model", "output", "soc_version", "input_shape", "input_fp16_nodes", "debug_dir", "om"),
    *("json", "op_compiler_cache_dir", "optypelist_for_implmode", "op_precision_mode"),
    *("is_input_adjust_hw_layout", "is_output_adjust_hw_layout"),
)
WRONG_CHOICE = {"log": "E10010"}
PATHS = ("model", "output", "debug_dir", "om", "json", "op_compiler_cache_dir")
_PATH = re.compile(r"[\w./\-\u4e00-\u9fff]+", re.ASCII)
_SHAPE = re.compile(r"(?P<name>.+):(?P<dims>\d+(,\d+)*)")


@dataclass(frozen=True, slots=True)
class Flags:
    """The flags as given, checked one by one and against each other."""

    given: dict[str, str]

    def get(self, name: str, default: str = "") -> str:
        return self.given.get(name, default)

    @property
    def chip(self) -> Chip:
        return CHIPS[self.get("soc_version")]

    @property
    def precision(self) -> str:
        """What float32 is computed in; float16 unless told otherwise (G)."""
        if "precision_mode_v2" in self.given:
            return MODES_V2[self.get("precision_mode_v2")]
        return MODES[self.get("precision_mode", "force_fp16")]

    @property
    def input_shape(self) -> dict[str, tuple[int, ...]]:
        return parse_shapes(self.get("input_shape"))

    @property
    def input_fp16_nodes(self) -> set[str]:
        return set(filter(None, self.get("input_fp16_nodes").split(";")))


def parse(argv: Sequence[str]) -> Flags:
    """`--name=value` or `--name value`. Raises `AtcError`."""
    given: dict[str, str] = {}
    rest = list(argv)
    while rest:
        word = rest.pop(0)
        name, equals, value = word.lstrip("-").partition("=")
        if not word.startswith("-") or (name not in CHOICES and name not in FREE_TEXT):
            raise AtcError("E10001", f"unknown command line flag {word!r}")
        if not equals and rest:
            value = rest.pop(0)
        if not value:
            raise AtcError("E10004", f"Value for [--{name}] is empty.")
        given[name] = value
    flags = Flags(given)
    _check(flags)
    return flags


def _check(flags: Flags) -> None:
    for name, value in flags.given.items():
        if name in CHOICES and value not in CHOICES[name]:
            code = WRONG_CHOICE.get(name, "E10001")
            wanted = ", ".join(CHOICES[name])
            raise AtcError(code, f"Value [{value}] for parameter [--{name}] is invalid: {wanted}.")
        if name in PATHS and not _PATH.fullmatch(value):
            raise AtcError("E10001", f"Path [{value}] of [--{name}] has characters not allowed.")
    for name in ("is_input_adjust_hw_layout", "is_output_adjust_hw_layout"):
        if any(one not in ("true", "false") for one in flags.get(name, "true").split(",")):
            raise AtcError("E10005", f"Value for [--{name}] is neither true nor false.")
    if flags.get("mode", "0") == "0":
        _check_conversion(flags)
    elif not flags.get("om"):
        raise AtcError("E10004", "Value for [--om] is empty.")


def _check_conversion(flags: Flags) -> None:
    if not flags.get("model"):
        raise AtcError("E10004", "Value for [--model] is empty.")
    if not flags.get("framework"):
        raise AtcError("E10007", "[--framework] is required.")
    if flags.get("framework") != "5":
        raise AtcError("E10001", "only ONNX, [--framework=5], is served by this fake.")
    if not flags.get("output"):
        raise AtcError("E10004", "Value for [--output] is empty.")
    if flags.get("soc_version") not in CHIPS:
        soc = flags.get("soc_version")
        raise AtcError("E10001", f"Value [{soc}] for parameter [--soc_version] is invalid.")
    if "precision_mode" in flags.given and "precision_mode_v2" in flags.given:
        raise AtcError("E10001", "[--precision_mode] and [--precision_mode_v2] exclude each other.")
    if flags.precision == BF16 and not flags.chip.has_bfloat16:
        raise AtcError("E10001", f"{flags.get('soc_version')} has no bfloat16.")
    if not Path(flags.get("model")).is_file():
        raise AtcError("E10001", f"Model file [{flags.get('model')}] does not exist.")
    _ = flags.input_shape


def parse_shapes(text: str) -> dict[str, tuple[int, ...]]:
    """`x:1,64,56,56;y:1,8`. Raises `AtcError` (E10002)."""
    shapes = {}
    for part in filter(None, text.split(";")):
        match = _SHAPE.fullmatch(part)
        dims = tuple(map(int, match["dims"].split(","))) if match else ()
        if match is None or not all(dims):
            raise AtcError(
                "E10002",
                f"Value [{part}] for parameter [--input_shape] is invalid: "
                "name:n1,n2,...; no number is 0.",
            )
        shapes[match["name"]] = dims
    return shapes
