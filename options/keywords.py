"""A verb's options as its keywords: what makes `plan(model, backend=...)` of a class."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, ParamSpec, TypeVar, cast, get_args, get_type_hints

from ..errors import UsageError
from ..reporter import Listeners, heard
from .option import Crossing, option_fields

P = ParamSpec("P")
Options = TypeVar("Options")
R = TypeVar("R")


def takes(options: Callable[P, Options]) -> Callable[[Callable[[Options], R]], Callable[P, R]]:
    """A verb that is written for an object of its options' class, and called with keywords."""

    def decorate(body: Callable[[Options], R]) -> Callable[P, R]:
        @functools.wraps(body)
        def verb(*args: P.args, **given: P.kwargs) -> R:
            made = _with_paths(options(*args, **given))
            _require_no_fleet(made)
            return _heard(body, made) if hasattr(made, "reporter") else body(made)

        verb.__signature__ = _signature(cast("type", options), body)  # type: ignore[attr-defined]
        return verb

    return decorate


def _require_no_fleet(options: Any) -> None:
    """A verb works on this machine. Raises `UsageError` if it is asked for another's device."""
    for field in option_fields(type(options)):
        if field.option.crossing is Crossing.FLEET and getattr(options, field.name):
            raise UsageError(f"{field.flag} names devices of a service's fleet: give --server URL")


def _heard(body: Callable[[Options], R], options: Options) -> R:
    """What the verb returns; those who listen hear of it, and it tells all of them as one."""
    asked = keywords(options)
    given = asked.pop("reporter")

    def work(listeners: Listeners) -> R:
        return body(replace(cast("Any", options), reporter=listeners))

    return heard(body.__name__, given, asked, work)


def _signature(options: type, body: Callable[..., Any]) -> inspect.Signature:
    """The class's parameters with their plain types, and what the verb returns."""
    hints, made = get_type_hints(options), inspect.signature(options)
    parameters = [p.replace(annotation=hints[name]) for name, p in made.parameters.items()]
    returns = inspect.signature(body).return_annotation
    return made.replace(parameters=parameters, return_annotation=returns)


def _with_paths(options: Options) -> Options:
    """The same with paths of those that were given as text, as `open` takes them."""
    hints = get_type_hints(type(options))
    texts = {name: value for name, value in keywords(options).items() if isinstance(value, str)}
    paths = {name: Path(text) for name, text in texts.items() if _is_path(hints[name])}
    return replace(cast("Any", options), **paths) if paths else options


def _is_path(hint: Any) -> bool:
    """Whether an option of that type is a path, and no text beside it."""
    types = get_args(hint) or (hint,)
    return Path in types and str not in types


def keywords(options: Any) -> dict[str, Any]:
    """All values of an options object by name."""
    return {field.name: getattr(options, field.name) for field in fields(options)}


def arguments_for(function: Callable[..., Any], options: Any, **others: Any) -> dict[str, Any]:
    """The options that the function has a parameter of the same name for, and others."""
    given, wanted = keywords(options), inspect.signature(function).parameters
    return {name: given[name] for name in wanted if name in given} | others
