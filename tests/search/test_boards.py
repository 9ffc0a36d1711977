"""Boards that differ from their kind: planted ones are found, equal ones are not."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import pytest

from rankwise.records import (
    Decomposition,
    DeviceFingerprint,
    LayerSpec,
    Measurement,
    MeasurementPolicy,
    PairSummary,
)
from rankwise.search.boards import OddBoard, odd_boards

DEVICE = DeviceFingerprint.of("fake", {"chip": "a"}, {"runtime": "1"})
KINDS = (Decomposition("svd", (16,)), Decomposition("svd", (32,)))


def measured(
    rng: np.random.Generator,
    slow: Mapping[str | None, float],
    quick: Mapping[str | None, float] | None = None,
    specs: int = 12,
) -> list[Measurement]:
    """Two sessions a board; the originals of board b take `slow[b]` times what they should, the
    candidates are `quick[b]` times as fast."""
    found = []
    for n in range(specs):
        spec, usual_s = LayerSpec("linear", 64 + n, 64, (64 + n,)), 1e-4 * (1 + n)
        boards = [board for board in slow for _ in range(2)]
        drawn = {board: usual_s * slow[board] * rng.lognormal(0, 0.01) for board in slow}
        for kind in KINDS:
            ratios = [
                1.4 * (quick or {}).get(board, 1.0) * rng.lognormal(0, 0.01) for board in boards
            ]
            summaries = tuple(
                PairSummary(20, math.log(r), 1e-6, 1e-5, 1e-14, drawn[b], drawn[b] / r)
                for b, r in zip(boards, ratios, strict=True)
            )
            one = Measurement("m", spec, kind, DEVICE, MeasurementPolicy(), summaries, "2026")
            found.append(Measurement(*(getattr(one, f) for f in FIELDS), boards=tuple(boards)))
    return found


FIELDS = (
    *("id", "spec", "decomposition", "fingerprint", "policy", "summaries", "measured_at"),
    *("failure", "layers"),
)


def said(found: list[OddBoard]) -> set[tuple[str | None, str]]:
    return {(one.board, one.quantity) for one in found}


def test_a_slow_board_is_found() -> None:
    rng = np.random.default_rng(1)
    [odd] = odd_boards(measured(rng, {"a": 1.0, "b": 1.0, "c": 1.06, "d": 1.0}))
    assert (odd.board, odd.quantity, odd.specs) == ("c", "latency", 12)
    assert odd.low < 1.06 < odd.high
    assert odd.fingerprint == DEVICE


def test_a_board_with_other_speedups_is_found() -> None:
    rng = np.random.default_rng(2)
    boards = dict.fromkeys("abcd", 1.0)
    [odd] = odd_boards(measured(rng, boards, {"b": 0.9}))
    assert (odd.board, odd.quantity) == ("b", "speedup")
    assert odd.ratio == pytest.approx(0.9, rel=0.02)


def test_of_two_boards_nobody_knows_which_is_odd() -> None:
    found = odd_boards(measured(np.random.default_rng(3), {"a": 1.0, None: 1.1}))
    assert said(found) == {("a", "latency"), (None, "latency")}


def test_equal_boards_are_hardly_ever_named() -> None:
    rng = np.random.default_rng(4)
    tables = [measured(rng, dict.fromkeys("abc", 1.0), specs=6) for _ in range(100)]
    assert sum(bool(odd_boards(table, margin=0.0)) for table in tables) <= 10  # 5 expected
    assert not any(odd_boards(table) for table in tables)


def test_few_specs_say_nothing() -> None:
    rng = np.random.default_rng(5)
    assert odd_boards(measured(rng, {"a": 1.0, "b": 1.5}, specs=2)) == []


def test_one_board_is_its_kind() -> None:
    assert odd_boards(measured(np.random.default_rng(6), {"a": 1.0})) == []
