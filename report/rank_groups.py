"""The rows of a table that are drawn together: one layer on one device, its kinds by rank."""

from __future__ import annotations

from ..documents import Row, Table
from ..errors import UsageError

MIN_RANKS = 3
"""Fewest ranks of one kind that are worth a picture."""


def by_layer(table: Table) -> list[list[Row]]:
    """Return the rows of each layer, device and policy that have enough ranks of a kind.

    Raises `UsageError` if there are none.
    """
    groups: dict[tuple[object, ...], list[Row]] = {}
    for row in table.rows:
        if row.latency_s is not None and row.original_latency_s is not None:
            groups.setdefault((row.spec_key, row.setting), []).append(row)
    found = [rows for rows in groups.values() if drawn_kinds(rows)]
    if not found:
        raise UsageError(
            f"there is nothing to draw: no layer has {MIN_RANKS} ranks of one kind; profile first"
        )
    return found


def kinds_of(rows: list[Row]) -> dict[str, list[Row]]:
    """Return the rows of each kind by rising rank; pairs of ranks by what they compute."""
    ordered = sorted(rows, key=lambda row: (row.macs, row.decomposition.ranks))
    kinds: dict[str, list[Row]] = {}
    for row in sorted(ordered, key=lambda row: _kind(row)):
        kinds.setdefault(_kind(row), []).append(row)
    return kinds


def drawn_kinds(rows: list[Row]) -> dict[str, list[Row]]:
    """Return those of `kinds_of` that have enough ranks."""
    return {kind: same for kind, same in kinds_of(rows).items() if len(same) >= MIN_RANKS}


def _kind(row: Row) -> str:
    chosen = row.decomposition
    groups = f"in {chosen.groups} groups" if chosen.groups > 1 else ""
    return " ".join(filter(None, (chosen.kind, groups, chosen.precision)))


def differences(layers: list[list[Row]]) -> list[str]:
    """Say of each layer's rows how device and policy differ from the others'; nothing where all
    were measured alike."""
    origins = [_origin(rows[0]) for rows in layers]
    varying = [name for name in origins[0] if len({one.get(name) for one in origins}) > 1]
    return [", ".join(f"{name} {one[name]}" for name in varying if name in one) for one in origins]


def _origin(row: Row) -> dict[str, str]:
    device = row.device
    keys = {"hardware": device.hardware_key[:6], "software": device.software_key[:6]}
    policy = {name: str(value) for name, value in sorted(row.policy.items())}
    return {"on": device.backend, **keys, **policy}


def ranks(row: Row) -> str:
    """Return the ranks of a row, such as 16x32."""
    return "x".join(map(str, row.decomposition.ranks))


def original_of(rows: list[Row]) -> float:
    """Return the original's latency: the mean of what was measured beside each row."""
    return sum(row.original_latency_s or 0.0 for row in rows) / len(rows)
