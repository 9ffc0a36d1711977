"""Files, functions and packages stay small enough to be read at a glance."""

from __future__ import annotations

import ast
from collections import Counter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
OUTSIDE = {"tests", "benchmarks", "examples", "docs", "build", "dist"}
"""What is no part of the product."""
MAX_FILE_LINES = 350
MAX_FUNCTION_LINES = 50
MAX_PACKAGE_SHARE = 0.15


def _sources() -> dict[str, str]:
    """Every source file of the checkout by its path from the root."""
    texts = {}
    for path in sorted(ROOT.rglob("*.py")):
        place = path.relative_to(ROOT)
        if place.parts[0] == "build" or any(part.startswith(".") for part in place.parts):
            continue
        if any((parent / "pyvenv.cfg").exists() for parent in path.parents):
            continue
        texts[place.as_posix()] = path.read_text(encoding="utf-8")
    return texts


SOURCES = _sources()


@pytest.mark.parametrize("place", SOURCES)
def test_no_file_and_no_function_is_long(place: str) -> None:
    text = SOURCES[place]
    assert text.count("\n") <= MAX_FILE_LINES
    if "migrations" in place:  # one revision is one function
        return
    long = {
        node.name: lines
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (lines := (node.end_lineno or 0) - node.lineno + 1) > MAX_FUNCTION_LINES
    }
    assert not long, f"more than {MAX_FUNCTION_LINES} lines: {long}"


def test_no_package_is_most_of_the_product() -> None:
    lines: Counter[str] = Counter()
    for place, text in SOURCES.items():
        if (unit := place.split("/")[0]) not in OUTSIDE:
            lines[unit if "/" in place else ""] += text.count("\n")
    shares = {unit: count / lines.total() for unit, count in lines.items()}
    assert max(shares.values()) <= MAX_PACKAGE_SHARE, shares
