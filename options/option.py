"""One option of a verb: how it is written, what it may be, and how it reaches a service."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import MISSING, dataclass, field, fields
from enum import Enum
from typing import Annotated, Any, get_args, get_origin, get_type_hints

from ..errors import UsageError


class Crossing(Enum):
    """How an option reaches a service. Where another name than its own stands in the request,
    that is the member's value."""

    VALUE = "as it is"
    NETWORK = "network"
    """The model goes up, or is there; its id is sent."""
    WITH_NETWORK = "part of the network that goes up"
    CALIBRATION = "calibration"
    PLAN = "plan"
    FLEET = "device"
    """Which devices of a service's fleet do it; nobody else has any."""
    FORMAT = "format"
    """The suffix of the output's name is sent; the file comes back."""
    HERE = "used on the caller's side"
    NEVER = "refused"


@dataclass(frozen=True, slots=True)
class Allowed:
    """What may come over HTTP: texts that are one of the choices or fit the pattern, numbers
    within the bounds. The verbs have checks of their own."""

    choices: tuple[str, ...] = ()
    pattern: str | None = None
    minimum: float | None = None
    maximum: float | None = None
    above: float | None = None
    below: float | None = None


def one_of(*choices: str) -> Allowed:
    """These words and no other."""
    return Allowed(choices)


@dataclass(frozen=True, slots=True)
class Option:
    """What is known of an option beside its name, type and default.

    `flags` are given where the name alone does not say them, `argument` is the name of one that
    has no flag; the command line finds what is `findable` where it is left out. `text` is what the
    command line reads where that is not the field's own type, and `parse(text, flag)` makes the
    value of it, or of each one where it is `repeated`. `group` is what it stands under in --help.
    `reason` says why a service cannot take the option.
    """

    help: str = ""
    allowed: Allowed = field(default_factory=Allowed)
    flags: tuple[str, ...] = ()
    metavar: str | None = None
    argument: str = ""
    required: bool = False
    findable: bool = False
    envvar: str | None = None
    text: type | None = None
    parse: Callable[[str, str], Any] | None = None
    repeated: bool = False
    group: str = ""
    crossing: Crossing = Crossing.VALUE
    reason: str = ""


@dataclass(frozen=True, slots=True)
class OptionField:
    """An option in its place: a field of a class, or a parameter of a command."""

    name: str
    hint: Any
    option: Option
    default: Any

    @property
    def required(self) -> bool:
        return self.default is MISSING or self.option.required

    @property
    def flag(self) -> str:
        """What the user writes, as sentences name it."""
        if self.option.argument:
            return self.name.upper()
        longest = max(self.option.flags, key=len, default=f"--{self.name}")
        return longest.partition("/")[0].replace("_", "-")

    @property
    def repeats(self) -> bool:
        """Whether the command line takes it several times."""
        several = get_origin(self.hint) is Sequence
        return several and (self.option.repeated or self.option.parse is None)

    def refuse_for_service(self, value: Any) -> None:
        """Raise `UsageError` if a service cannot take that value."""
        option, choices = self.option, self.option.allowed.choices
        pattern = option.allowed.pattern
        if option.crossing is Crossing.NEVER:
            raise UsageError(f"{option.reason}: leave {self.flag} or --server out")
        for text in _texts(value):
            if choices and text not in choices:
                words = ", ".join(choices)
                raise UsageError(f"for {self.flag} a service takes {words}, not {text!r}")
            if pattern and not re.search(pattern, text):
                raise UsageError(f"for {self.flag} a service takes names alone, not {text!r}")


def _texts(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    return [part for part in value if isinstance(part, str)] if isinstance(value, Sequence) else []


def option_of(hint: Any) -> Option | None:
    """The `Option` in an annotation `Annotated[..., Option(...)]`, if there is one."""
    marks = get_args(hint)[1:] if get_origin(hint) is Annotated else ()
    return next((mark for mark in marks if isinstance(mark, Option)), None)


def option_fields(options: type) -> tuple[OptionField, ...]:
    """The options of a verb's class; fields that only Python has are left out."""
    hints = get_type_hints(options, include_extras=True)
    return tuple(
        OptionField(one.name, get_args(hints[one.name])[0], option, one.default)
        for one in fields(options)
        if (option := option_of(hints[one.name])) is not None
    )
