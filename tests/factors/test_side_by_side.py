"""Layers side by side: in order, and one after the other where they are large."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from rankwise.factors import side_by_side as module
from rankwise.factors.side_by_side import LARGE, LastTakenApart, side_by_side
from rankwise.records import LayerSpec

SMALL = LayerSpec("conv2d", 4, 4, (4, 9, 9), (3, 3))
LARGER = LayerSpec("conv2d", 8, 4, (8, 9, 9), (3, 3))
WIDE = LayerSpec("linear", LARGE + 1, 4, (LARGE + 1,))


def threads_of(specs: list[LayerSpec]) -> list[str]:
    both = threading.Barrier(2, timeout=1)

    def work(_: int) -> str:
        try:
            both.wait()
        except threading.BrokenBarrierError:
            return "alone"
        return "together"

    return side_by_side(work, [1, 2], specs)


def test_results_are_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "processors", lambda: 4)
    numbers, specs = list(range(50)), [SMALL, LARGER] * 25
    assert side_by_side(lambda n: n * n, numbers, specs) == [n * n for n in numbers]
    assert side_by_side(lambda n: n, [], []) == []


def test_large_layers_are_not_held_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "processors", lambda: 2)
    assert threads_of([SMALL, SMALL]) == ["together", "together"]
    assert threads_of([SMALL, WIDE]) == ["alone", "alone"]


def test_each_thread_has_the_last_layer_to_itself() -> None:
    last, made = LastTakenApart(), list[str]()

    def take(name: str) -> Any:
        made.append(name)
        return object()

    first = last.get(("a", "svd", 1), lambda: take("a"))
    assert last.get(("a", "svd", 1), lambda: take("a again")) is first
    other = threading.Thread(target=lambda: last.get(("b", "svd", 1), lambda: take("b")))
    other.start()
    other.join()
    assert last.get(("a", "svd", 1), lambda: take("a again")) is first
    last.get(("c", "svd", 1), lambda: take("c"))
    last.get(("a", "svd", 1), lambda: take("a again"))
    assert made == ["a", "b", "c", "a again"]


def test_a_layer_that_cannot_be_taken_apart_leaves_none_behind() -> None:
    last = LastTakenApart()
    with pytest.raises(ZeroDivisionError):
        last.get(("a", "svd", 1), lambda: 1 // 0)  # type: ignore[arg-type,return-value]
    found: Any = object()
    assert last.get(("a", "svd", 1), lambda: found) is found
