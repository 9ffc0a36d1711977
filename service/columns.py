"""The speedup table by columns: what the page reads, a tenth of the rows' size.

Texts that many rows share (the device, the policy, the layer's spec) stand once, and rows say
which by number.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from operator import attrgetter
from typing import Any

from pydantic import BaseModel, Field

from .. import documents

Row = documents.Row

COLUMNS: dict[str, Callable[[Row], Any]] = {
    **{name: attrgetter(f"decomposition.{name}") for name in ("kind", "ranks", "groups")},
    **{
        name: attrgetter(name)
        for name in (
            *("latency_s", "original_latency_s", "saving_s", "speedup", "speedup_low"),
            *("speedup_high", "verdict", "macs", "params", "measured_at", "stale"),
        )
    },
}
"""What is a row's own."""


class Setting(BaseModel):
    """A device and a policy: only rows of one setting may be compared as they are."""

    device: documents.RowDevice
    policy: dict[str, Any]


class Spec(BaseModel):
    """A spec and the layers that share it, as in the rows."""

    key: str
    layers: list[str]
    op: str
    spec: dict[str, Any]
    count: int
    original_macs: int


class Columns(BaseModel):
    """A table by columns, all of one length. `setting` and `spec` are places in the lists
    `settings` and `specs`; the others are as in the rows of a table."""

    settings: list[Setting]
    specs: list[Spec]
    columns: dict[str, list[Any]] = Field(
        description=f"`setting`, `spec`, {', '.join(f'`{name}`' for name in COLUMNS)}."
    )
    failures: list[documents.Failure]


class _Numbered:
    """Values that are kept once, by their keys."""

    def __init__(self, make: Callable[[Row], Any]) -> None:
        self.values: list[Any] = []
        self._make, self._places = make, dict[Hashable, int]()

    def place(self, key: Hashable, row: Row) -> int:
        if key not in self._places:
            self._places[key] = len(self.values)
            self.values.append(self._make(row))
        return self._places[key]


def columns_of(table: documents.Table) -> Columns:
    """Return the table's rows by columns, in their order."""
    settings = _Numbered(lambda row: Setting(device=row.device, policy=row.policy))
    specs = _Numbered(_spec)
    columns: dict[str, list[Any]] = {
        "setting": [settings.place(row.setting, row) for row in table.rows],
        "spec": [specs.place((row.spec_key, *row.layers), row) for row in table.rows],
        **{name: [of(row) for row in table.rows] for name, of in COLUMNS.items()},
    }
    return Columns(
        settings=settings.values, specs=specs.values, columns=columns, failures=table.failures
    )


def _spec(row: Row) -> Spec:
    return Spec(
        key=row.spec_key,
        layers=row.layers,
        op=row.op,
        spec=row.spec,
        count=row.count,
        original_macs=row.original_macs,
    )
