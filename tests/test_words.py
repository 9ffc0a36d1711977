"""One word for one thing: names that were given up do not come back, and no name means two things.

Definitions only (modules, classes, functions, constants, attributes of classes); what a local
variable is called is not looked at. docs/glossary.md says which words there are.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
NOT_OURS = {"tests", "docs", "benchmarks", "examples", "build", "dist"}

MODULES = {
    "profiler": "standing surroundings roll_call ahead attention treads exploring",
    "lowrank": "judge two_step input_side catalog",
    "search": "states silence phases",
    "backends": "counted heap limits",
    "db": "papers merging lines place opened keeping sentences traces",
    "service": "things work gate step_back",
    "commands": "running measuring exploring",
}
"""Retired names of modules, by the package that had them."""

CLASSES = {"Bench", "LocalBench", "ChildBench", "Choosable", "Described", "Here"}
NAMES = CLASSES | {"filled", "afresh", "DOUBT", "LEEWAY", "OPTIMISM"}
"""Retired names of classes, functions and constants, wherever they stand."""

PATTERNS = re.compile(r"MOST_\w+|LEAST_\w+|LEAST|MOST")

ATTRIBUTES = {("Quality", "used")}

ONE_MEANING = ("Plan", "Run", "Limits", "Check", "Table", "Setting", "Recovery", "decisions_of")


def _sources() -> list[Path]:
    return [
        path
        for path in sorted(ROOT.rglob("*.py"))
        if path.relative_to(ROOT).parts[0] not in NOT_OURS
        and not any(part.startswith(".") for part in path.relative_to(ROOT).parts)
        and not any((parent / "pyvenv.cfg").exists() for parent in path.parents)
    ]


def _definitions(body: list[ast.stmt], owner: str = "") -> Iterator[tuple[str, str]]:
    """Yield (class that it stands in or nothing, name) of all that a module's body defines."""
    for node in body:
        match node:
            case ast.ClassDef():
                yield owner, node.name
                yield from _definitions(node.body, node.name)
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                yield owner, node.name
            case ast.Assign():
                yield from ((owner, one.id) for one in node.targets if isinstance(one, ast.Name))
            case ast.AnnAssign(target=ast.Name(id=name)):
                yield owner, name
            case ast.If() | ast.Try():
                yield from _definitions(node.body, owner)


DEFINED = {
    str(path.relative_to(ROOT)): list(
        _definitions(ast.parse(path.read_text(encoding="utf-8")).body)
    )
    for path in _sources()
}


@pytest.mark.parametrize(
    ("package", "module"),
    [(package, module) for package, words in MODULES.items() for module in words.split()],
)
def test_no_module_has_a_retired_name(package: str, module: str) -> None:
    assert not (ROOT / package / f"{module}.py").exists()
    assert not (ROOT / package / module).exists()


def test_no_definition_has_a_retired_name() -> None:
    retired = [
        f"{path}: {name}"
        for path, defined in DEFINED.items()
        for owner, name in defined
        if name in NAMES or PATTERNS.fullmatch(name.lstrip("_")) or (owner, name) in ATTRIBUTES
    ]
    assert not retired


def test_circumstances_are_run_metadata() -> None:
    """Released databases and archives keep the old name of the column."""
    kept = {"db/tables.py", "db/archive_schema.py"}
    named = {
        path for path, defined in DEFINED.items() if any(n == "circumstances" for _, n in defined)
    }
    assert named <= kept


@pytest.mark.parametrize("word", ONE_MEANING)
def test_a_word_means_one_thing(word: str) -> None:
    places = [
        path
        for path, defined in DEFINED.items()
        for owner, name in defined
        if name == word and not owner
    ]
    assert len(places) <= 1, f"{word} is defined in {', '.join(places)}"


def test_the_glossary_names_what_there_is() -> None:
    text = (ROOT / "docs" / "glossary.md").read_text(encoding="utf-8")
    classes = set(re.findall(r"`([A-Z][a-z]\w*)`", text))
    assert classes
    assert classes <= {name for defined in DEFINED.values() for _, name in defined}
