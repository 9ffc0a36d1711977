"""The speedup table in the formats that people and programs read."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from ..documents import Row, Table
from ..errors import UsageError, did_you_mean
from .table_columns import USUAL, cells
from .table_view import EVERYTHING, TableView

if TYPE_CHECKING:
    import pandas as pd

FORMATS = ("table", "csv", "json", "parquet", "html", "markdown")


def write_table(
    table: Table,
    format: str,
    output: Path | None,
    stream: TextIO,
    view: TableView = EVERYTHING,
) -> None:
    """Write what the view shows of the table to `output`, or to `stream` if there is none.

    Raises `UsageError` for an unknown format, and for Parquet without a file.
    """
    if format not in FORMATS:
        hint = did_you_mean(format, FORMATS)
        raise UsageError(f"unknown format {format!r}{hint}; known are {', '.join(FORMATS)}")
    if format == "table":
        from .table_text import speedup_table_text

        width = shutil.get_terminal_size().columns if output is None and stream.isatty() else None
        _write(speedup_table_text(table, view, width), output, stream)
        return
    table = table.model_copy(update={"rows": view.rows(table.rows)})
    if format == "parquet":
        if output is None:
            raise UsageError("Parquet is binary: name a file with -o")
        _write_parquet(table, output)
        return
    _write(_text(table, format, view.columns or USUAL), output, stream)


def _write(text: str, output: Path | None, stream: TextIO) -> None:
    if output is None:
        stream.write(text)
    else:
        output.write_text(text, encoding="utf-8")


def _write_parquet(table: Table, output: Path) -> None:
    try:
        frame(table).to_parquet(output, index=False)
    except ImportError:
        raise UsageError("Parquet needs pyarrow: pip install 'rankwise[parquet]'") from None


def _text(table: Table, format: str, columns: Sequence[str]) -> str:
    match format:
        case "json":
            return table.model_dump_json(indent=2) + "\n"
        case "csv":
            return str(frame(table).to_csv(index=False))
        case "html":
            import pandas as pd

            readable = pd.DataFrame(cells(table.rows, columns), columns=list(columns))
            return str(readable.to_html(index=False, border=0)) + "\n"
    lines = [columns, ["---"] * len(columns), *cells(table.rows, columns)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


DTYPES = {
    **dict.fromkeys(("layer", "kind", "ranks"), "str"),
    "groups": "int64",
    "precision": "str",
    **dict.fromkeys(("op", "spec_key"), "str"),
    "count": "int64",
    **dict.fromkeys(("latency_s", "original_latency_s", "saving_s"), "float64"),
    **dict.fromkeys(("speedup", "speedup_low", "speedup_high"), "float64"),
    "verdict": "str",
    **dict.fromkeys(("macs", "original_macs", "params"), "int64"),
    "measured_at": "str",
    "stale": "bool",
    "boards": "int64",
    "measurement_id": "str",
    "network_error": "float64",
    "layers": "str",
    **dict.fromkeys(("backend", "hardware_key", "software_key"), "str"),
    **dict.fromkeys(("policy_phase", "policy_context", "policy_cache"), "str"),
    "policy_execution": "str",
    "policy_batch": "int64",
    **dict.fromkeys(("policy_dtype", "policy_numeric_mode"), "str"),
    "policy_threads": "int64",
    "policy_frozen": "str",
}
"""Types of the frame's columns, in their order; `workflow.table` says what they are."""


def frame(table: Table) -> pd.DataFrame:
    """Return one row a measurement, nested fields flattened (`kind`, `ranks`, `backend`, ...); the
    columns are there, with their types, where there are no rows."""
    import pandas as pd

    rows = [_flat(row) for row in table.rows]
    return pd.DataFrame(rows, columns=list(DTYPES)).astype(DTYPES)


def _flat(row: Row) -> dict[str, Any]:
    plain = row.model_dump(exclude={"decomposition", "device", "policy", "spec", "layers"})
    chosen = row.decomposition
    return {
        "layer": plain.pop("layer"),
        "kind": chosen.kind,
        "ranks": "x".join(map(str, chosen.ranks)),
        "groups": chosen.groups,
        "precision": chosen.precision,
        **plain,
        "layers": " ".join(row.layers),
        **row.device.model_dump(),
        **{f"policy_{name}": value for name, value in row.policy.items()},
    }
