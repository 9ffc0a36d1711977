"""Faults to put into modules: cosmic-ray's, at places drawn with a seed, and named ones."""

from __future__ import annotations

import ast
import difflib
import random
import tomllib
import uuid
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import mutate_code
from cosmic_ray.plugins import get_operator, operator_names
from cosmic_ray.work_item import MutationSpec, WorkItem

HERE = Path(__file__).parent
ROOT = HERE.parents[1]


@dataclass(frozen=True, slots=True)
class NamedFault:
    """A fault that the tests once missed: `old` stands once in `file`, and becomes `new`."""

    file: str
    old: str
    new: str
    why: str


@dataclass(frozen=True, slots=True)
class EqualFault:
    """A change of one line that changes no behaviour, and the reason."""

    file: str
    line: str
    mutant: str
    reason: str


def named_faults() -> list[NamedFault]:
    entries = tomllib.loads((HERE / "named_faults.toml").read_text())["fault"]
    return [NamedFault(**entry) for entry in entries]


def equal_faults() -> list[EqualFault]:
    entries = tomllib.loads((HERE / "equal.toml").read_text()).get("equal", [])
    return [EqualFault(**entry) for entry in entries]


def changed_lines(before: str, after: str) -> tuple[str, str]:
    """The lines that differ, before and after, without cosmic-ray's spaces around numbers."""
    diff = list(difflib.ndiff(before.splitlines(), after.splitlines()))
    gone, come = ([line[1:] for line in diff if line[0] == sign] for sign in "-+")
    return unspaced(" ".join(gone)), unspaced(" ".join(come))


def unspaced(text: str) -> str:
    return "".join(text.split())


def source_files(modules: Sequence[str]) -> list[str]:
    paths = [ROOT / module for module in modules]
    files = [p for path in paths for p in (path.rglob("*.py") if path.is_dir() else [path])]
    return sorted(file.relative_to(ROOT).as_posix() for file in files)


def drawn(files: Sequence[str], count: int, seed: int) -> list[WorkItem]:
    """`count` faults: places are drawn first, so that a `*`, which may become six other
    operators, is no likelier than a number, which becomes two others."""
    rng = random.Random(seed)
    places = [place for file in files for place in _places(file)]
    rng.shuffle(places)
    items: list[WorkItem] = []
    for place in places:
        fault = rng.choice(place)
        if len(items) < count and _compiles(fault):
            items.append(WorkItem.single(uuid.UUID(int=rng.getrandbits(128)).hex, fault))
    return items


def _places(file: str) -> list[list[MutationSpec]]:
    """The faults that are possible at each place of a file where a fault can matter."""
    source = (ROOT / file).read_text()
    skipped = _without_effect(source)
    nodes = list(ast_nodes(get_ast(source)))
    faults: dict[tuple[int, int], list[MutationSpec]] = defaultdict(list)
    for name in filter(_sensible, operator_names()):
        operator = get_operator(name)()
        spans = (span for node in nodes for span in operator.mutation_positions(node))
        for occurrence, (start, end) in enumerate(spans):
            if not any(first <= start < last for first, last in skipped):
                faults[start].append(MutationSpec(file, name, occurrence, start, end))
    return [faults[start] for start in sorted(faults)]


def _sensible(operator: str) -> bool:
    """Bits of floats raise an error in any test that comes by, and `is` for `==` is a matter of
    the interpreter: they would only make the share that is noticed look better or worse."""
    bits = operator.endswith(("_RShift", "_LShift", "_BitOr", "_BitAnd", "_BitXor"))
    identity = operator.endswith(("_Is", "_IsNot")) and "_Is" not in operator.removesuffix(
        "_Is"
    ).removesuffix("_IsNot")
    return not bits and not identity and not get_operator(operator).arguments()


def _without_effect(source: str) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    """Spans that nothing looks at while the program runs: annotations, what only type checkers
    read, the options of `@dataclass` (`slots` is for memory), and `strict=True` of a `zip`,
    which guards against mistakes of ours that no input brings about."""
    spans = []
    for node in ast.walk(ast.parse(source)):
        parts: list[ast.expr | ast.stmt | ast.keyword | None] = []
        if isinstance(node, ast.FunctionDef):
            parts = [node.returns]
        elif isinstance(node, ast.arg | ast.AnnAssign):
            parts = [node.annotation]
        elif isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            parts = [node]
        elif isinstance(node, ast.ClassDef):
            parts = [d for d in node.decorator_list if "dataclass" in ast.unparse(d)]
        elif isinstance(node, ast.keyword) and ast.unparse(node) == "strict=True":
            parts = [node]
        spans += [
            ((p.lineno, p.col_offset - 1), (p.end_lineno, p.end_col_offset)) for p in parts if p
        ]
    return spans


def _compiles(fault: MutationSpec) -> bool:
    """A fault that Python refuses to read would be noticed by any test."""
    source = (ROOT / fault.module_path).read_text()
    mutant = mutated(source, fault)
    try:
        ast.parse(mutant)
    except SyntaxError:
        return False
    return mutant != source


def mutated(source: str, fault: MutationSpec) -> str:
    operator = get_operator(fault.operator_name)(**fault.operator_args)
    return str(mutate_code(source, operator, fault.occurrence))
