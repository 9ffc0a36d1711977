"""The command reference, made from typer's commands while the site is built.

mkdocs calls `on_page_markdown` for every page; the one that holds the mark gets a section for each
command, with its options in the groups that --help has.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any

import typer
import typer.main

from rankwise.cli import app

MARK = "<!-- commands -->"


def on_page_markdown(markdown: str, **_: Any) -> str:
    if MARK not in markdown:
        return markdown
    return markdown.replace(MARK, reference())


def reference() -> str:
    """All commands as Markdown, in the order of --help."""
    root = typer.main.get_command(app)
    return "\n\n".join(_section(name, command) for name, command in _commands(root, "rankwise"))


def _commands(command: Any, name: str) -> Iterator[tuple[str, Any]]:
    """Yield (what is typed, command) for every command that does something by itself."""
    children = getattr(command, "commands", None)
    if not children:
        yield name, command
        return
    for word, child in children.items():
        if not getattr(child, "hidden", False):
            yield from _commands(child, f"{name} {word}")


def _section(name: str, command: Any) -> str:
    context = typer.Context(command, info_name=name)
    parts = [f"## `{name}`", inspect.cleandoc(command.help or "")]
    parts += [f"```text\n{' '.join([name, *command.collect_usage_pieces(context)])}\n```"]
    for title, records in _groups(command, context):
        parts.append(_table(title, records))
    if command.epilog:
        parts.append(f"```text\n{inspect.cleandoc(command.epilog)}\n```")
    return "\n\n".join(part for part in parts if part)


def _groups(command: Any, context: typer.Context) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """What --help says of arguments and options, below the heading that it has there."""
    groups: dict[str, list[tuple[str, str]]] = {"Arguments": [], "Options": []}
    for one in command.params:
        usual = "Arguments" if one.param_type_name == "argument" else "Options"
        record = one.get_help_record(context)
        if record is not None:
            title = getattr(one, "rich_help_panel", None) or usual
            groups.setdefault(title, []).append(record)
    return ((title, records) for title, records in groups.items() if records)


def _table(title: str, records: list[tuple[str, str]]) -> str:
    lines = [f"| {title} | |", "|---|---|"]
    lines += [f"| `{_cell(flags)}` | {_cell(meaning)} |" for flags, meaning in records]
    return "\n".join(lines)


def _cell(text: str) -> str:
    """Markdown sees no column's end in it, and no link in what stands in brackets."""
    return " ".join(text.split()).replace("|", "\\|")
