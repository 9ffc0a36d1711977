"""The script that `make check` has mypy look at strictly leaves no public name out."""

import ast
from pathlib import Path

import rankwise as rw

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = Path(__file__).with_name("every_name.py")


def test_every_public_name_is_there() -> None:
    used = {
        node.attr
        for node in ast.walk(ast.parse(SCRIPT.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id == "rw"
    }
    assert set(rw.__all__) <= used, "add it to tests/typing/every_name.py"


def test_make_check_looks_at_it() -> None:
    place = SCRIPT.relative_to(ROOT).as_posix()
    assert f"-m mypy --no-error-summary {place}" in (ROOT / "Makefile").read_text(encoding="utf-8")
