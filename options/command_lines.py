"""Options as somebody would type them: what a verb was told, as its command line."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from typing import Any

from .option import OptionField, option_fields
from .texts import written

UNNAMED = {"model": "MODEL", "plan": "PLAN"}
"""What stands for objects, which no command line can name."""


def command_line(verb: str, options: type, values: Mapping[str, Any]) -> str:
    """Return `rankwise VERB ...` with those of the values that are options of that class and not
    their defaults; arguments come first. One line that a shell takes as it is."""
    known = sorted(option_fields(options), key=lambda field: not field.option.argument)
    words = ["rankwise", verb.replace("_", "-")]
    for field in known:
        value = values.get(field.name, field.default)
        if value is not None and (field.required or value != field.default):
            words += _words(field, value)
    return shlex.join(words)


def _words(field: OptionField, value: Any) -> Iterator[str]:
    if field.option.argument:
        named = isinstance(value, str) or hasattr(value, "__fspath__")
        yield str(value) if named else UNNAMED.get(field.name, field.name.upper())
    elif isinstance(value, bool):
        yield field.flag if value else field.flag.replace("--", "--no-", 1)
    else:
        flag = min(field.option.flags, key=len, default=field.flag)
        for one in value if field.repeats else [value]:
            yield from (flag, written(one, field.option.parse))
