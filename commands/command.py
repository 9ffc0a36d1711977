"""Commands made of functions: their options come from the verb's class, errors are sentences."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import MISSING, dataclass
from typing import Annotated, Any, Generic, TypeVar, get_args, get_origin

import typer

from ..errors import UsageError
from ..options.keywords import keywords
from ..options.option import Option, OptionField, option_fields, option_of
from ..options.shared import EVERYWHERE
from ..workflow import verb
from .errors import as_sentences, loudness, reporting
from .found_plans import found_arguments
from .remote import REMOTE, connect

Options = TypeVar("Options")
JSON = Option("One JSON document on standard output.", flags=("--json",), group=EVERYWHERE)
Json = Annotated[bool, JSON]
VERBS = {"table": "table_document", "report": "write_report"}
"""Verbs that are not called as their commands are."""
EVERY = {
    "quiet": typer.Option("-q", "--quiet", help="No progress, and no word of how it goes."),
    "verbose": typer.Option("-v", "--verbose", help="Each step as a line, which stays."),
    "debug": typer.Option("--debug", help="Show the traceback of an error."),
}
"""What every command takes."""
SERVER = typer.Option(
    metavar="URL",
    help="Let a service do it; its token is in RANKWISE_TOKEN.",
    rich_help_panel=EVERYWHERE,
)
for option in EVERY.values():
    option.rich_help_panel = EVERYWHERE


@dataclass(frozen=True, slots=True)
class Run(Generic[Options]):
    """A verb with its options, to be called: done here, or by the service at `server`. `typed`
    names the options that stand on the command line."""

    name: str
    options: Options
    server: str | None
    typed: frozenset[str]

    def __call__(self) -> Any:
        """What the verb returns: most often a document."""
        if self.server is not None:
            return self._remote(self.server)
        given = keywords(self.options)
        with reporting() if "reporter" in given else nullcontext() as told:
            more = {} if told is None else {"reporter": told}
            return verb(VERBS.get(self.name, self.name))(**given | more)

    def _remote(self, server: str) -> Any:
        for field in option_fields(type(self.options)):
            if field.name in self.typed:
                field.refuse_for_service(getattr(self.options, field.name))
        with connect(server) as client:
            return REMOTE[self.name](client, self.options)


def command(function: Callable[..., None]) -> Callable[..., None]:
    """The function as typer wants it: a parameter `run: Run[Options]` becomes the options of
    that class and `--server`, each `Option` an option, and `--debug` is added."""
    signature = inspect.signature(function, eval_str=True)
    options = next(
        (get_args(p.annotation)[0] for p in signature.parameters.values() if _is_run(p)), None
    )

    @functools.wraps(function)
    def call(*, quiet: bool, verbose: bool, debug: bool, **given: Any) -> None:
        with as_sentences(debug), loudness(quiet, verbose):
            if options is not None:
                typed = _typed(given.pop("invocation"))
                server = given.pop("server")
                _require_remote(function.__name__, server)
                given |= found_arguments(options, given)
                made = options(**{f.name: _value(f, given) for f in option_fields(options)})
                given["run"] = Run(function.__name__, made, server, typed)
            function(**given)

    parameters = list(_parameters(signature, options))
    call.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    call.__annotations__ = {p.name: p.annotation for p in parameters}
    del call.__wrapped__
    return call


def _require_remote(name: str, server: str | None) -> None:
    if server is not None and name not in REMOTE:
        command = name.replace("_", "-")
        raise UsageError(f"a service does not do `{command}`: leave --server out")


def _is_run(parameter: inspect.Parameter) -> bool:
    return get_origin(parameter.annotation) is Run


def _typed(context: typer.Context) -> frozenset[str]:
    """Options whose value comes neither from a default nor from the environment."""
    sources = {name: context.get_parameter_source(name) for name in context.params}
    return frozenset(n for n, source in sources.items() if source and source.name == "COMMANDLINE")


def _value(field: OptionField, given: dict[str, Any]) -> Any:
    """An option's value, taken out of what the command line gave."""
    value, option = given.pop(field.name), field.option
    if field.repeats:
        parse = option.parse or (lambda text, _flag: text)
        return tuple(parse(one, field.flag) for one in value or ())
    if option.parse is not None and value is not None:
        return option.parse(value, field.flag)
    return value


def _parameters(signature: inspect.Signature, options: type | None) -> Iterator[inspect.Parameter]:
    for field in _as_read(options) if options else ():
        yield _parameter(field)
    for parameter in signature.parameters.values():
        if _is_run(parameter):
            continue
        option = option_of(parameter.annotation)
        if option is not None:
            hint = get_args(parameter.annotation)[0]
            default = MISSING if parameter.default is inspect.Parameter.empty else parameter.default
            yield _parameter(OptionField(parameter.name, hint, option, default))
        else:
            yield parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY)
    for name, mark in EVERY.items():
        yield _keyword(name, False, Annotated[bool, mark])
    if options is not None:
        yield _keyword("server", None, Annotated[str | None, SERVER])
        yield _keyword("invocation", inspect.Parameter.empty, typer.Context)


def _as_read(options: type) -> list[OptionField]:
    """What is required comes first, then the verb's own options, then those of many verbs."""
    own = inspect.get_annotations(options)
    return sorted(option_fields(options), key=lambda one: (not one.required, one.name not in own))


def _parameter(field: OptionField) -> inspect.Parameter:
    """The option as typer's."""
    option, default = field.option, field.default
    kind = option.text or (str if option.parse else field.hint)
    if field.repeats:
        kind, default = list[str], None
    if option.findable:
        kind, default = kind | None, None
    elif field.required:
        default = inspect.Parameter.empty
    elif default is None and (option.text or option.parse or field.repeats):
        kind = kind | None
    shown: dict[str, Any] = {
        "help": option.help or None,
        "metavar": option.argument or option.metavar,
        "rich_help_panel": option.group or None,
    }
    if option.argument:
        mark = typer.Argument(show_default=False, **shown)
    else:
        mark = typer.Option(*option.flags, envvar=option.envvar, **shown)
    return _keyword(field.name, default, Annotated[kind, mark])


def _keyword(name: str, default: Any, annotation: Any) -> inspect.Parameter:
    return inspect.Parameter(
        name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation
    )
