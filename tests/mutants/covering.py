"""Which tests run a line, the quickest first: learned from one run of them without any fault."""

from __future__ import annotations

import ast
import re
from collections.abc import Sequence
from pathlib import Path

from coverage import CoverageData

PHASE = re.compile(r"\|(run|setup|teardown)$")
DURATION = re.compile(r"^([\d.]+)s (?:call|setup|teardown) +(.*)$", re.MULTILINE)


class Covering:
    """The tests of one mapping of mutants.toml."""

    def __init__(self, tree: Path, data: Path, output: str) -> None:
        """`output` is pytest's with `--durations=0 -vv`, `data` coverage's file of that run, in
        which contexts are tests."""
        self._tree, self._data = tree, CoverageData(str(data))
        self._data.read()
        self._seconds: dict[str, float] = {}
        for seconds, test in DURATION.findall(output):
            self._seconds[test] = self._seconds.get(test, 0.0) + float(seconds)

    def tests(self, file: str, line: int) -> list[str]:
        """The tests that run the statement at this line; none where it runs at import."""
        by_line = self._data.contexts_by_lineno(str(self._tree / file))
        first, last = statement(self._tree / file, line)
        contexts = {one for number in range(first, last + 1) for one in by_line.get(number, ())}
        found = {PHASE.sub("", context) for context in contexts if context}
        return sorted(found, key=lambda test: (self._seconds.get(test, 0.0), test))


def statement(path: Path, line: int) -> tuple[int, int]:
    """First and last line of the innermost statement that this line belongs to; of a compound
    one only what stands before its body."""
    best = (line, line)
    size = float("inf")
    for node in ast.walk(ast.parse(path.read_text())):
        if not isinstance(node, ast.stmt) or not node.lineno <= line <= (node.end_lineno or 0):
            continue
        body: Sequence[ast.stmt] = getattr(node, "body", [])
        last = body[0].lineno - 1 if body and body[0].lineno > node.lineno else node.end_lineno
        last = max(last or line, node.lineno)
        if line <= last and last - node.lineno < size:
            best, size = (node.lineno, last), last - node.lineno
    return best
