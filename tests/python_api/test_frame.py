"""The frame of `rw.table()` has the columns, types and units that its docstring says."""

from __future__ import annotations

import re
from typing import Any

import rankwise as rw
from rankwise import documents
from rankwise.records import MeasurementPolicy
from rankwise.report.formats import frame

LINE = re.compile(
    r"^        (\w+) +(str|int64|float64|bool) +(s|1|MACs)? {2,}(\S.*)$", re.MULTILINE
)
UNITS = {"_s": "s", "macs": "MACs", "speedup": "1", "_low": "1", "_high": "1"}


def documented() -> dict[str, tuple[str, str]]:
    """Types and units by column."""
    found = LINE.findall(rw.table.__doc__ or "")
    return {name: (dtype, unit) for name, dtype, unit, _ in found}


def test_the_docstring_says_columns_and_types(there: dict[str, Any]) -> None:
    del there
    table = rw.table()
    types = {name: dtype for name, (dtype, _) in documented().items()}
    assert types == {name: str(dtype) for name, dtype in table.dtypes.items()}
    assert list(types) == list(table.columns)
    assert len(table) > 0


def test_units_are_in_the_names() -> None:
    for name, (_, unit) in documented().items():
        wanted = next((unit for end, unit in UNITS.items() if name.endswith(end)), "")
        assert unit == wanted, name


def test_no_part_of_a_policy_is_left_out() -> None:
    parts = {f"policy_{name}" for name in MeasurementPolicy().to_json()}
    assert {name for name in documented() if name.startswith("policy_")} == parts


def test_an_empty_table_has_the_same_columns() -> None:
    empty = frame(documents.Table(rows=[], failures=[]))
    types = {name: dtype for name, (dtype, _) in documented().items()}
    assert {name: str(dtype) for name, dtype in empty.dtypes.items()} == types
