"""How a call comes in and goes out: arguments as C's format strings take them, three shapes of
results, faults, and what has to hold before a call does anything.

A call's body takes the `Runtime` and its arguments, returns the plain value and raises `Failed`
for a return code. The shape says what the caller sees of either.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from .codes import NAMES, UNUSABLE
from .faults import RELEASES, crash, hang

if TYPE_CHECKING:
    from .runtime import Runtime

CALL_NS = 1_000
"""What a call costs the virtual host (invented). Less than any execution takes, so that a loop
of launches is never what an event pair shows."""


class Failed(Exception):
    """A return code, with the text that `acl.get_recent_err_msg` gives."""

    def __init__(self, code: int, text: str = "") -> None:
        super().__init__(text or NAMES.get(code, "error"))
        self.code = code


class FollowedBadPointer(RuntimeError):
    """The real call has no return code and would read what is not there (policy)."""


@dataclass(frozen=True, slots=True)
class Shape:
    """`ok(value)` and `failed(code)` make what the caller gets."""

    ok: Callable[[Any], Any]
    failed: Callable[[int], Any]


RET = Shape(lambda _value: 0, lambda code: code)


def pair(blank: Callable[[], Any] = int) -> Shape:
    """(value, ret); a failed one has the empty value."""
    return Shape(lambda value: (value, 0), lambda code: (blank(), code))


def several(count: int) -> Shape:
    """(a, b, ..., ret)"""
    return Shape(lambda values: (*values, 0), lambda code: (*([0] * count), code))


def bare(blank: Callable[[], Any] = int) -> Shape:
    """No code at all: 0, None or an empty text means failure."""
    return Shape(lambda value: value, lambda _code: blank())


def nothing() -> None:
    """The blank of a bare call that fails with None."""


@dataclass(frozen=True, slots=True)
class Call:
    """`formats` has one letter an argument (see `_convert`), those after `|` are optional.

    `needs` is `""`, `"init"`, `"context"` (implies init) or `"device"` (implies context, and
    that the device is fit for work).
    """

    name: str
    formats: str
    shape: Shape
    needs: str
    body: Callable[..., Any]
    since: tuple[int, ...] = ()


CALLS: dict[str, Call] = {}


def call(
    name: str, formats: str, shape: Shape, needs: str = "init", **more: Any
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Register the decorated body as the call of that full name (`acl.rt.malloc`)."""

    def register(body: Callable[..., Any]) -> Callable[..., Any]:
        CALLS[name] = Call(name, formats, shape, needs, body, **more)
        return body

    return register


def function(runtime: Runtime, one: Call) -> Callable[..., Any]:
    """What the module gets: positional arguments only, as METH_VARARGS has it (B)."""

    def called(*args: Any) -> Any:
        values = arguments(one, args)
        with runtime.lock:
            result = _perform(runtime, one, values)
            runtime.note(one.name, args, result)
        return result

    called.__name__ = one.name.rpartition(".")[2]
    called.__qualname__ = one.name
    return called


def _perform(runtime: Runtime, one: Call, values: tuple[Any, ...]) -> Any:
    runtime.clock.pass_time(CALL_NS)
    fault = runtime.faults.next(one.name)
    if fault == "hang":
        runtime.unlocked(hang, runtime.settings.hang_s)
        fault = None
    if fault == "crash":
        crash()
    if fault == "stuck":
        runtime.next_is_stuck, fault = True, None
    if fault is not None:
        return _fail_by_fault(runtime, one, values, int(fault))
    known = len(runtime.violations)
    try:
        _require(runtime, one)
        return one.shape.ok(one.body(runtime, *values))
    except Failed as error:
        if (one.name, values) in runtime.forgiven:
            del runtime.violations[known:]
            return one.shape.ok(0)
        runtime.remember_error(one.name, error.code, str(error))
        return one.shape.failed(error.code)


def _fail_by_fault(runtime: Runtime, one: Call, values: tuple[Any, ...], code: int) -> Any:
    """A release is carried out all the same, so that it is not the caller's leak; work that
    could not be waited for is lost, so that the caller may go on releasing."""
    if one.name in RELEASES:
        try:
            one.body(runtime, *values)
        except Failed:
            pass
        else:
            runtime.forgiven.add((one.name, values))
    elif code in UNUSABLE:
        runtime.break_device(code)
    if "synchronize" in one.name:
        runtime.lose_work()
    runtime.remember_error(one.name, code, "a planned fault")
    return one.shape.failed(code)


def _require(runtime: Runtime, one: Call) -> None:
    """Behaviours 5 and 7, and policy on a device after an exception of its core."""
    if not one.needs:
        return
    if not runtime.initialised:
        raise Failed(145001 if one.name.startswith("acl.mdl.") else 100001, "acl.init comes first")
    if one.needs == "init":
        return
    context = runtime.context()
    if one.needs == "device" and context.device.broken:
        raise Failed(context.device.broken, "the device needs a reset_device")


def arguments(one: Call, args: tuple[Any, ...]) -> tuple[Any, ...]:
    """Raises `TypeError` as PyArg_ParseTuple does: behaviour 1."""
    needed, _, optional = one.formats.partition("|")
    letters = needed + optional
    if not len(needed) <= len(args) <= len(letters):
        wanted = str(len(needed)) if not optional else f"{len(needed)} to {len(letters)}"
        raise TypeError(f"{one.name} args parse failed: takes {wanted}, not {len(args)}")
    try:
        return tuple(_convert(letter, arg) for letter, arg in zip(letters, args, strict=False))
    except (TypeError, OverflowError) as error:
        raise TypeError(f"{one.name} args parse failed: {error}") from error


def _convert(letter: str, value: Any) -> Any:
    """`k` an int proper, any size; `i`, `I`, `L` anything with __index__; `s` text; `O` any."""
    if letter == "O":
        return value
    if letter == "s":
        if not isinstance(value, str):
            raise TypeError(f"must be str, not {type(value).__name__}")
        return value
    if letter == "k":
        if not isinstance(value, int):
            raise TypeError(f"must be int, not {type(value).__name__}")
        return value & 0xFFFF_FFFF_FFFF_FFFF
    number = value.__index__() if hasattr(value, "__index__") else None
    if number is None:
        raise TypeError(f"{type(value).__name__!r} cannot be interpreted as an integer")
    if letter == "i" and not -(2**31) <= number < 2**31:
        raise OverflowError("does not fit a C int")
    return number & 0xFFFF_FFFF if letter == "I" else number
