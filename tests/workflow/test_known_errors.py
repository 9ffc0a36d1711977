"""What an earlier search has found that candidates cost stands in the table."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from rankwise.db import Store
from rankwise.records import Decomposition
from rankwise.workflow.known_errors import note_errors

from ..report.test_table_text import row, text

NETWORK, PICTURES = "ab" * 32, "cd" * 32


def svd(rank: int) -> Decomposition:
    return Decomposition("svd", (rank,))


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with Store.open(str(tmp_path / "lab.db")) as opened:
        yield opened


def test_errors_are_those_of_the_latest_search(store: Store) -> None:
    """At ranks that were probed as found, between them by a power of the MACs, beyond them none; of
    layers that share a row the largest."""
    store.sensitivities.put(NETWORK, "ef" * 32, {("a", svd(20)): (9.0, 9.0)}, metric="earlier")
    found = {("a", svd(20)): (0.4, 0.4), ("a", svd(80)): (0.1, 0.1), ("b", svd(20)): (0.7, 0.7)}
    store.sensitivities.put(NETWORK, PICTURES, found, metric="contribution x")
    rows = [row("a", rank, 2.0) for rank in (10, 20, 40, 80)]
    rows += [row("a", 20, 2.0, layers=["a", "b"]), row("c", 20, 2.0)]
    note_errors(rows, store, NETWORK)
    expected = [None, 0.4, 0.2, 0.1, 0.7, None]
    assert [one.network_error for one in rows] == pytest.approx(expected)


def test_rows_in_int8_have_none(store: Store) -> None:
    """What was probed in float32 does not say what rounding loses."""
    store.sensitivities.put(NETWORK, PICTURES, {("a", svd(20)): (0.4, 0.4)}, metric="contribution")
    of_floats, of_int8 = row("a", 20, 2.0), row("a", 20, 2.0)
    of_int8.policy = {**of_floats.policy, "dtype": "int8"}
    note_errors([of_floats, of_int8], store, NETWORK)
    assert of_floats.network_error == pytest.approx(0.4)
    assert of_int8.network_error is None


def test_nothing_is_said_where_nobody_has_searched(store: Store) -> None:
    rows = [row("a", 20, 2.0)]
    note_errors(rows, store, NETWORK)
    assert rows[0].network_error is None


def test_the_best_say_their_errors_where_they_are_known() -> None:
    rows = [row("a", 80, 1.2, network_error=0.0213), row("a", 30, 2.0)]
    shown = text(best=True, rows=rows)
    assert "svd 80 1.20x err 0.021" in shown
    assert "svd 30 2.00x -70%" in shown
    assert "about what it alone does" in shown
    assert "(err)" not in text(best=True, rows=rows[1:])
