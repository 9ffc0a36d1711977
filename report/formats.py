"""The speedup table in the formats that people and programs read."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from ..documents import Row, Table
from ..errors import UsageError

if TYPE_CHECKING:
    import pandas as pd

FORMATS = ("table", "csv", "json", "parquet", "html", "markdown")


def write_table(table: Table, format: str, output: Path | None, stream: TextIO) -> None:
    """Write the table to `output`, or to `stream` if there is none.

    Raises `UsageError` for an unknown format, and for Parquet without a file.
    """
    if format not in FORMATS:
        raise UsageError(f"unknown format {format!r}; known are {', '.join(FORMATS)}")
    if format == "parquet":
        if output is None:
            raise UsageError("Parquet is binary: name a file with -o")
        _write_parquet(table, output)
        return
    _write(_text(table, format), output, stream)


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


def _text(table: Table, format: str) -> str:
    from .table_text import COLUMNS, speedup_table_text, table_lines

    match format:
        case "json":
            return table.model_dump_json(indent=2) + "\n"
        case "csv":
            return str(frame(table).to_csv(index=False))
        case "html":
            import pandas as pd

            readable = pd.DataFrame(table_lines(table), columns=list(COLUMNS))
            return str(readable.to_html(index=False, border=0)) + "\n"
        case "markdown":
            lines = [COLUMNS, ["---"] * len(COLUMNS), *table_lines(table)]
            return "".join(f"| {' | '.join(line)} |\n" for line in lines)
    return speedup_table_text(table)


def frame(table: Table) -> pd.DataFrame:
    """Return one row a measurement, nested fields flattened (`kind`, `ranks`, `backend`, ...)."""
    import pandas as pd

    return pd.DataFrame([_flat(row) for row in table.rows])


def _flat(row: Row) -> dict[str, Any]:
    plain = row.model_dump(exclude={"decomposition", "device", "policy", "spec", "layers"})
    chosen = row.decomposition
    return {
        "layer": plain.pop("layer"),
        "kind": chosen.kind,
        "ranks": "x".join(map(str, chosen.ranks)),
        "groups": chosen.groups,
        **plain,
        "layers": " ".join(row.layers),
        **row.device.model_dump(),
        **{f"policy_{name}": value for name, value in row.policy.items()},
    }
