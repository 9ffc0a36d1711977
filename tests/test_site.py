"""What the site's pages get when it is built: commands, names of Python, titles of links."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
import typer.main

import rankwise
from rankwise.cli import app

DOCS = Path(__file__).resolve().parents[1] / "docs"


def hook(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, DOCS / "hooks" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def page(name: str) -> str:
    return (DOCS / name).read_text(encoding="utf-8")


def test_every_command_and_option_is_in_the_reference() -> None:
    text = hook("command_reference").on_page_markdown(page("commands.md"))
    root = typer.main.get_command(app)
    sections = {part.split("`")[1]: part for part in text.split("\n## ")[1:]}
    for name in root.commands:  # type: ignore[attr-defined]
        assert any(title.startswith(f"rankwise {name}") for title in sections)
    plan = root.commands["plan"]  # type: ignore[attr-defined]
    flags = [flag for one in plan.params for flag in one.opts if flag.startswith("--")]
    assert len(flags) > 20
    assert not [flag for flag in flags if flag not in sections["rankwise plan"]]
    assert text.count("\n| ") > 100


def test_every_public_name_is_in_the_reference() -> None:
    text = hook("python_reference").on_page_markdown(page("python.md"))
    assert not [name for name in rankwise.__all__ if f"::: rankwise.{name}\n" not in f"{text}\n"]
    assert "max_error=None" in text
    assert "options:" in text


@pytest.mark.parametrize("name", ["command_reference", "python_reference"])
def test_other_pages_stay_as_they_are(name: str) -> None:
    assert hook(name).on_page_markdown("text") == "text"


def test_links_read_as_titles() -> None:
    titled = hook("link_texts").on_page_markdown(
        "[store.md](store.md) [a store](store.md) [methods.md](methods.md#kinds)",
        config=SimpleNamespace(docs_dir=DOCS),
    )
    assert titled == "[The store](store.md) [a store](store.md) [Methods](methods.md#kinds)"


def test_docstrings_are_read_from_what_is_shipped() -> None:
    shipped = {path.name for path in hook("package_links").shipped()}
    assert {"__init__.py", "errors.py", "workflow", "options"} <= shipped
    assert not {"tests", "docs", "build", ".venv"} & shipped


def test_examples_of_docstrings_are_code() -> None:
    """A list in brackets behind another is a link to Markdown."""
    pytest.importorskip("griffe", reason="comes with the extra docs")
    said = "Says it.\n\n>>> a[0]\n[1]\n>>> b\n2\n\nMore.\n"
    fenced = hook("docstring_examples").fenced(said)
    assert fenced == "Says it.\n\n```pycon\n>>> a[0]\n[1]\n>>> b\n2\n```\n\nMore.\n"
