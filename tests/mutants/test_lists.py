"""The lists of faults speak of lines that are there. What notices the faults: `make mutants`."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parents[1]


def entries(name: str, key: str) -> list[Any]:
    return [
        pytest.param(entry, id=f"{entry['file']}-{number}")
        for number, entry in enumerate(tomllib.loads((HERE / name).read_text()).get(key, []))
    ]


@pytest.mark.parametrize("fault", entries("named_faults.toml", "fault"))
def test_a_named_fault_has_one_place(fault: dict[str, str]) -> None:
    assert (ROOT / fault["file"]).read_text().count(fault["old"]) == 1
    assert fault["new"] != fault["old"]
    assert fault["why"]


@pytest.mark.parametrize("fault", entries("equal.toml", "equal"))
def test_what_is_noted_as_equal_is_still_there(fault: dict[str, str]) -> None:
    lines = "".join((ROOT / fault["file"]).read_text().split())
    assert "".join(fault["line"].split()) in lines
    assert fault["mutant"] != fault["line"]
    assert fault["reason"]
