"""Options that a project sets once: `rankwise.toml`, or `[tool.rankwise]` of `pyproject.toml`.

Both are looked for in the working directory, and the first one counts. A key is an option as it is
typed, without dashes in front; at the top it is for every command that has the option, in a table
for the command of that name. What is typed, or set in the environment, comes first.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ..errors import UsageError, did_you_mean

FILE, PROJECT = Path("rankwise.toml"), Path("pyproject.toml")
NOT_SET = {"help", "install_completion", "show_completion"}


def configured(commands: Mapping[str, Any]) -> dict[str, Any]:
    """Return the configured values by command and parameter, as click's `default_map` has them.

    Raises `UsageError` for a file that cannot be read, and for keys that no command has.
    """
    found = _read()
    if found is None:
        return {}
    name, settings = found
    own = {key: value for key, value in settings.items() if isinstance(value, dict)}
    common = {key: value for key, value in settings.items() if key not in own}
    known = {one for command in _leaves(commands) for one in _options(command)}
    for key in common:
        _require(key, known, f"{name} has {key!r}, which is no option of any command")
    for key, values in own.items():
        _require(key, commands, f"{name} has [{key}], which is no command")
        for option in values:
            wrong = f"{name} has {option!r} in [{key}], which is no option of that command"
            _require(option, _options(commands[key]), wrong)
    return {key: _values(command, common, own.get(key, {})) for key, command in commands.items()}


def is_configured() -> bool:
    """Whether there is such a file."""
    return FILE.is_file() or _has_table()


def _has_table() -> bool:
    return PROJECT.is_file() and "tool.rankwise" in PROJECT.read_text(errors="replace")


def _read() -> tuple[str, dict[str, Any]] | None:
    """The file's name with what it sets; None where nothing is set."""
    if FILE.is_file():
        return FILE.name, _parsed(FILE)
    if not _has_table():
        return None
    settings = _parsed(PROJECT).get("tool", {}).get("rankwise")
    return None if settings is None else (f"{PROJECT.name} [tool.rankwise]", settings)


def _parsed(path: Path) -> dict[str, Any]:
    import tomllib

    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UsageError(f"{path} cannot be read: {error}") from None


def _leaves(commands: Mapping[str, Any]) -> Iterator[Any]:
    for command in commands.values():
        yield from getattr(command, "commands", {"": command}).values()


def _options(command: Any) -> dict[str, Any]:
    """The options of a command, or of all in a group, by the name that is typed."""
    return {
        max(param.opts, key=len).lstrip("-"): param
        for one in _leaves({"": command})
        for param in one.params
        if param.param_type_name == "option" and param.name not in NOT_SET
    }


def _require(key: str, known: Any, wrong: str) -> None:
    if key not in known:
        raise UsageError(f"{wrong}{did_you_mean(key, known)}")


def _values(command: Any, common: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    if inner := getattr(command, "commands", None):
        return {name: _values(one, common, own) for name, one in inner.items()}
    options, given = _options(command), {**common, **own}
    return {
        options[key].name: _written(value, options[key])
        for key, value in given.items()
        if key in options
    }


def _written(value: Any, param: Any) -> Any:
    """A value as it would be typed."""
    if isinstance(value, list):
        return [str(one) for one in value] if param.multiple else ",".join(map(str, value))
    if param.multiple:
        return [str(value)]
    return value if isinstance(value, bool) else str(value)
