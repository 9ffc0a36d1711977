"""What --help says of a command: its options in groups, and examples to copy."""

from __future__ import annotations

from typing import Any

from typer.core import TyperCommand, TyperGroup

from .examples import examples

OPTIONS = "Options"
EVERYWHERE = "Every command"
ORDER = ("Arguments", OPTIONS, "Network", "Pictures", "Device", EVERYWHERE)
"""Groups in the order in which they are shown; others stand behind the command's own options."""


class HelpCommand(TyperCommand):
    """A command whose options are in groups (`rich_help_panel` has the group's name)."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        groups: dict[str, list[tuple[str, str]]] = {}
        for param in self.get_params(ctx):
            record = param.get_help_record(ctx)
            if record is not None:
                groups.setdefault(_group(param), []).append(record)
        for name in sorted(groups, key=lambda name: ORDER.index(name) if name in ORDER else 1.5):
            with formatter.section(name):
                formatter.write_dl(groups[name])

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        write_examples(ctx.command_path, formatter)


class HelpGroup(TyperGroup):
    """A group of commands, with examples of what is done first."""

    def get_help_option(self, ctx: Any) -> Any:
        """--help, which is False where it is not typed: typer loads pydantic to look at a None,
        and all other help takes half as long as that."""
        option = super().get_help_option(ctx)
        if option is not None:
            option.default = False
        return option

    def format_epilog(self, ctx: Any, formatter: Any) -> None:
        write_examples(ctx.command_path, formatter)


def _group(param: Any) -> str:
    if param.param_type_name == "argument":
        return "Arguments"
    if param.name == "help":
        return EVERYWHERE
    return getattr(param, "rich_help_panel", None) or OPTIONS


def write_examples(command_path: str, formatter: Any) -> None:
    """Write the examples of `rankwise profile` or the like; a command stands in a line alone,
    however narrow the terminal is, so that it can be copied."""
    words = command_path.split(maxsplit=1)[1:]
    found = examples().get(words[0] if words else "", [])
    if not found:
        return
    with formatter.section("Examples"):
        for purpose, line in found:
            formatter.write(f"{'':>{formatter.current_indent}}# {purpose}\n")
            formatter.write(f"{'':>{formatter.current_indent}}{line}\n")
