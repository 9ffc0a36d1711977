"""docs/extending-constraints.md, followed to the letter: its code is what runs here."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rankwise.errors import GoalNotReached

PAGE = Path(__file__).resolve().parents[2] / "docs" / "extending-constraints.md"
BLOCKS = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.M | re.S)


@pytest.fixture
def followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, Any]]:
    """The names that are there after the last step: the first block is a file, the others are
    typed one after the other."""
    (tmp_path / "energy.py").write_text(BLOCKS[0])
    monkeypatch.syspath_prepend(str(tmp_path))
    names: dict[str, Any] = {}
    for block in BLOCKS:
        exec(compile(block, str(PAGE), "exec"), names)  # the page's own code
    yield names
    del sys.modules["energy"]


def test_the_page_is_true(followed: dict[str, Any]) -> None:
    assert len(BLOCKS) == 5, "five steps"
    free, bound, joules = (followed[name] for name in ("free", "bound", "joules"))
    assert joules(free) > 3.7e-5 >= joules(bound)
    assert free.predicted.speedup > bound.predicted.speedup > 1
    assert bound.objective["constraints"] == ["EnergyLimit(limit=3.7e-05)"]
    assert "constraints" not in free.objective
    worst = [layer.layer_error or 0.0 for layer in free.layers]
    assert max(worst) > 0.5 >= max(layer.layer_error or 0.0 for layer in followed["gentle"].layers)
    assert any(layer.layer_error for layer in followed["gentle"].layers)

    rw, words = followed["rw"], followed["words"]
    with pytest.raises(GoalNotReached):
        rw.plan(
            followed["network"],
            followed["example"],
            **words,
            constraints=[followed["EnergyLimit"](1e-9)],
        )
    with pytest.raises(GoalNotReached):  # the original itself breaks it
        rw.plan(followed["network"], followed["example"], **words, constraints=[Never()])


class Never:
    name = "nothing at all"

    def usage(self, _plan: Any, _assembly: Any) -> float:
        return 2.0
