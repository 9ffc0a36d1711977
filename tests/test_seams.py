"""A new kind or backend is one file: nothing else asks for one by its name."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from rankwise.backends.registry import backend_names
from rankwise.lowrank.builtin_kinds import BUILT_IN
from rankwise.records import ORIGINAL

ROOT = Path(__file__).resolve().parents[1]
NOT_PRODUCT = {"tests", "docs", "benchmarks", "examples", "build", "dist"}
KINDS = {kind.name for kind in BUILT_IN} - {ORIGINAL.kind}
BACKENDS = set(backend_names())


def questions(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Texts that something is compared with: `==`, `in`, `startswith`, `case`; with the line."""
    for node in ast.walk(tree):
        asked: list[ast.AST] = []
        if isinstance(node, ast.Compare):
            asked = [node.left, *node.comparators]
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            asked = [*node.args] if node.func.attr in ("startswith", "endswith") else []
        elif isinstance(node, ast.MatchValue):
            asked = [node.value]
        for part in asked:
            for leaf in ast.walk(part):
                if isinstance(leaf, ast.Constant) and isinstance(leaf.value, str):
                    yield leaf.lineno, leaf.value


def asks_for(text: str, names: set[str]) -> bool:
    """Whether the text is one of the names, or tells some of them from the others."""
    return text in names or (text.endswith("-") and any(n.startswith(text) for n in names))


def named_in(folder: Path, names: set[str], home: str) -> list[str]:
    """Places of the product outside `home` where something is compared with one of the names."""
    found = []
    for path in sorted(folder.rglob("*.py")):
        where = path.relative_to(folder)
        if where.parts[0] in NOT_PRODUCT or where.parts[0].startswith("."):
            continue
        if not where.as_posix().startswith(home):
            tree = ast.parse(path.read_text(encoding="utf-8"), str(path))
            found += [
                f"{where}:{line}: {text!r}"
                for line, text in questions(tree)
                if asks_for(text, names)
            ]
    return found


def test_no_kind_is_asked_for_by_its_name() -> None:
    assert named_in(ROOT, KINDS, "lowrank/builtin_kinds/") == []


def test_no_backend_is_asked_for_by_its_name() -> None:
    assert named_in(ROOT, BACKENDS, "backends/") == []


@pytest.mark.parametrize(
    "line",
    [
        'x = name.startswith("torch-")',
        'x = backend.name == "torch-cpu"',
        'x = kind in ("svd", "other")',
        'match kind:\n    case "tucker2":\n        pass',
    ],
)
def test_a_question_is_seen(tmp_path: Path, line: str) -> None:
    (tmp_path / "module.py").write_text(line)
    assert len(named_in(tmp_path, KINDS | BACKENDS, "backends/")) == 1
