"""Values that the command line writes as texts: durations, ages, shapes, kinds, quanta."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import TypeVar

from ..errors import UsageError

T = TypeVar("T")
SECONDS = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0, "w": 604_800.0}
MAX_S = 1e12
INPUT = re.compile(
    r"(?P<name>.+)=(?P<shape>([1-9][0-9]{0,6}(,[1-9][0-9]{0,6}){0,7})?)(:(?P<dtype>\w+))?"
)
SHAPE = re.compile(r"[1-9][0-9]{0,5}(,[1-9][0-9]{0,5}){1,5}")


def parse_kinds(text: str, flag: str) -> list[str]:
    """Names of kinds, separated by commas."""
    return _parsed(text, flag, "svd,tucker2", lambda t: [kind.strip() for kind in t.split(",")])


def parse_dtypes(text: str, flag: str = "--dtypes") -> list[str]:
    """Names of dtypes, separated by commas."""
    return _parsed(text, flag, "float32,int8", lambda t: [dtype.strip() for dtype in t.split(",")])


def parse_shape(text: str, flag: str = "--input-shape") -> tuple[int, ...]:
    """Two to six positive whole numbers, separated by commas."""
    return _parsed(text.replace(" ", ""), flag, "1,3,224,224", _shape)


def parse_input(text: str, flag: str = "--input") -> tuple[str, tuple[int, ...], str]:
    """`NAME=SHAPE[:DTYPE]`: the name, the sizes of one batch, and the type or nothing."""
    return _parsed(text, flag, "input_ids=1,16:int64", _input)


def input_text(name: str, shape: Sequence[int], dtype: str) -> str:
    """What `parse_input` reads so."""
    return f"{name}={','.join(map(str, shape))}" + (f":{dtype}" if dtype else "")


def parse_duration(text: str, flag: str = "--max-time") -> float:
    """Seconds that `90s`, `10m` or `1h` say."""
    return _seconds(text, flag, "90s, 10m or 1h", "smh")


def parse_age(text: str, flag: str) -> float:
    """Seconds that `12h`, `90d` or `8w` say."""
    return _seconds(text, flag, "12h, 90d or 8w", "hdw")


def parse_quantum(text: str, flag: str) -> int | str:
    """A multiple that ranks keep to, or `auto`."""
    return text if text == "auto" else _parsed(text, flag, "16 or auto", int)


def _shape(text: str) -> tuple[int, ...]:
    if not SHAPE.fullmatch(text):
        raise ValueError(text)
    return tuple(map(int, text.split(",")))


def _input(text: str) -> tuple[str, tuple[int, ...], str]:
    match = INPUT.fullmatch(text)
    if match is None:
        raise ValueError(text)
    shape = tuple(map(int, match["shape"].split(","))) if match["shape"] else ()
    return match["name"], shape, match["dtype"] or ""


def _seconds(text: str, flag: str, example: str, units: str) -> float:
    def seconds(text: str) -> float:
        if text[-1] not in units:
            raise ValueError(text)
        return float(text[:-1]) * SECONDS[text[-1]]

    length_s = _parsed(text, flag, example, seconds)
    if not abs(length_s) < MAX_S:
        raise UsageError(f"{flag} {text!r} is no length of time; write it like {example}")
    return length_s


def _parsed(text: str, flag: str, example: str, parse: Callable[[str], T]) -> T:
    try:
        return parse(text)
    except (ValueError, IndexError):
        raise UsageError(f"{flag} {text!r} cannot be read; write it like {example}") from None


def written(value: object, parse: Callable[[str, str], object] | None) -> str:
    """Return a value as the command line takes it: what `parse` makes that value of."""
    if parse is parse_duration:
        return _duration(float(str(value)))
    if parse is parse_input and isinstance(value, tuple):
        name, shape, dtype = value
        return f"{name}={written(shape, None)}" + (f":{dtype}" if dtype else "")
    if isinstance(value, list | tuple):
        return ",".join(map(str, value))
    return str(value)


def _duration(seconds: float) -> str:
    unit = next((u for u in ("h", "m") if seconds and not seconds % SECONDS[u]), "s")
    return f"{seconds / SECONDS[unit]:g}{unit}"
