"""Sentences about costs: what is said, and what is left out."""

from __future__ import annotations

import pytest

from rankwise.records import Verdict
from rankwise.search.explanation import Cost, Neighbour, Roofs, reasons

ORIGINAL = Cost(macs=1000, moved_bytes=100, launches=1, latency_s=1.0)
HALF = Cost(macs=500, moved_bytes=100, launches=2, latency_s=0.5)
ROOFS = Roofs(macs_per_s=1000.0, bytes_per_s=1000.0)


def said(chain: Cost = HALF, ranks: tuple[int, ...] = (8,), **more: object) -> str:
    options: dict[str, object] = {"verdict": Verdict.FASTER, "roofs": ROOFS, **more}
    return "; ".join(reasons(ORIGINAL, chain, ranks, **options))  # type: ignore[arg-type]


def test_roofs_are_the_most_that_was_seen() -> None:
    roofs = Roofs.of([ORIGINAL, Cost(10, 1000, 1, 0.5)])
    assert roofs == Roofs(1000.0, 2000.0)
    assert roofs.ridge == pytest.approx(0.5)
    with pytest.raises(ValueError, match="empty"):
        Roofs.of([])


def test_a_gain_that_follows_the_arithmetic() -> None:
    text = said()
    assert "2.00 times fewer MACs and is 2.00 times faster" in text
    assert "2 operators instead of 1" in text
    assert "GMAC/s" not in text
    assert "no multiple" not in text


def test_a_chain_that_computes_less_and_takes_longer() -> None:
    slow = Cost(macs=500, moved_bytes=300, launches=2, latency_s=1.5)
    text = said(slow, verdict=Verdict.SLOWER)
    assert "2.00 times fewer MACs and still takes 1.50 times as long" in text
    assert "moves 3.00 times the bytes" in text
    assert "(33%)" in text


def test_traffic_is_named_where_it_limits() -> None:
    roofs = Roofs(macs_per_s=1e4, bytes_per_s=1e3)
    assert "below 10.0, which is where traffic limits" in said(roofs=roofs)
    assert "traffic" not in said()


def test_a_higher_rank_that_is_faster_is_named() -> None:
    others = [Neighbour((16,), 0.4), Neighbour((12,), 0.45), Neighbour((4,), 0.1)]
    assert "rank 16 keeps more and is 1.25 times faster than rank 8" in said(neighbours=others)
    assert "keeps more" not in said(neighbours=[Neighbour((4,), 0.1), Neighbour((8,), 0.2)])


def test_alignment() -> None:
    assert "rank 63 is no multiple of 4" in said(ranks=(64, 63))
    assert "no multiple" not in said(ranks=())
