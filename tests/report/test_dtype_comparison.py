"""The same candidates in several dtypes: which rows belong together, what is counted."""

from __future__ import annotations

from typing import Any

import pytest

from rankwise import documents
from rankwise.errors import UsageError
from rankwise.report.dtype_comparison import by_dtype, dtype_grid
from rankwise.report.table_text import speedup_table_text
from rankwise.report.table_view import TableView

from .test_table_text import row


def of(dtype: str, layer: str, rank: int, speedup: float, **more: Any) -> documents.Row:
    policy = {"threads": 1, "phase": "inference", "dtype": dtype, "execution": dtype}
    return row(layer, rank, speedup, **{"policy": policy, **more})


ROWS = [
    of("int8", "fc1", 16, 0.9),
    of("float32", "fc1", 16, 1.5),
    of("float32", "fc1", 32, 1.2),
    of("int8", "fc1", 32, 1.1),
    of("float32", "fc2", 16, 0.8),
    of("int8", "fc2", 16, 1.3, original_latency_s=0.002),
    of("float32", "fc3", 16, 1.4),
]


def test_candidates_stand_beside_themselves_with_float32_first() -> None:
    found = by_dtype(ROWS)
    assert [list(one) for one in found] == [["float32", "int8"]] * 3 + [["float32"]]
    assert [one["float32"].layer for one in found] == ["fc1", "fc1", "fc2", "fc3"]


@pytest.mark.parametrize(
    "other",
    [
        of("int8", "fc3", 16, 1.0, stale=True),
        of("int8", "fc3", 24, 1.0),
        of("int8", "fc3", 16, 1.0, policy={"threads": 2, "phase": "inference", "dtype": "int8"}),
        of(
            "int8",
            "fc3",
            16,
            1.0,
            device=documents.RowDevice(backend="fake", hardware_key="b", software_key="s"),
        ),
        of(
            "int8",
            "fc3",
            16,
            1.0,
            decomposition=documents.Decomposition(kind="svd", ranks=(16,), precision="float32"),
        ),
    ],
    ids=["stale", "rank", "threads", "device", "precision"],
)
def test_others_do_not(other: documents.Row) -> None:
    assert max(len(one) for one in by_dtype([ROWS[-1], other])) == 1


def test_counts_and_cells() -> None:
    columns, lines, notes = dtype_grid(ROWS)
    assert columns == ["layer", "x", "decomposition", "device", "float32", "int8"]
    assert lines[0] == [
        *("fc1", "1", "svd 16", "fake abcdef"),
        *("1.50 (1.48-1.52) FASTER", "0.90 (0.89-0.91) SLOWER"),
    ]
    assert notes == [
        "3 candidates in float32 and int8: 1 are FASTER in both, 1 in float32 only, 1 in int8 only",
        "the layers themselves take 1.60 times as long in float32 as in int8",
    ]


def test_a_verdict_leaves_what_differs_in_it() -> None:
    _, lines, notes = dtype_grid(ROWS, ["FASTER"])
    assert [line[0:3] for line in lines] == [["fc1", "1", "svd 16"], ["fc2", "1", "svd 16"]]
    assert notes[0].startswith("3 candidates")


def test_between_neighbours_there_is_a_verdict_only() -> None:
    bare = {"speedup": None, "speedup_low": None, "speedup_high": None}
    bare |= {"latency_s": None, "original_latency_s": None}
    rows = [of(d, "fc1", 16, 1.5).model_copy(update=bare) for d in ("float32", "int8")]
    _, lines, notes = dtype_grid(rows)
    assert lines[0][-2:] == ["FASTER", "FASTER"]
    assert len(notes) == 1


def test_one_dtype_is_not_enough() -> None:
    with pytest.raises(UsageError, match=r"several dtypes \(there is float32\): profile with"):
        dtype_grid([ROWS[1]])
    with pytest.raises(UsageError, match="nothing"):
        dtype_grid([])


def test_the_table_shows_it() -> None:
    document = documents.Table(rows=ROWS, failures=[], networks=["net.onnx"])
    shown = speedup_table_text(document, TableView(by_dtype=True, top=1))
    assert "1.50 (1.48-1.52) FASTER" in shown
    assert "device: fake abcdef" in shown
    assert "in float32 only" in shown
    assert "fc2" not in shown.split("\n")[1]
