"""Work in threads: all of it once, in order, within bounds, and what goes wrong comes out."""

from __future__ import annotations

import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rankwise.models.workers import in_order, processors


@given(st.lists(st.integers(), max_size=30), st.integers(1, 6))
def test_what_a_loop_would_give(items, workers):
    assert list(in_order(lambda item: item + 1, items, workers)) == [item + 1 for item in items]


def test_order_is_that_of_the_items_whoever_is_ready_first():
    def slow_at_first(item):
        time.sleep(0.02 if item == 0 else 0)
        return item

    assert list(in_order(slow_at_first, range(8), 3)) == list(range(8))


def test_items_run_at_the_same_time():
    met = threading.Barrier(3, timeout=10)
    assert len(list(in_order(lambda _: met.wait(), range(6), 3))) == 6


def test_each_thread_starts_once():
    started = []
    list(in_order(lambda _: time.sleep(0.001), range(20), 2, lambda: started.append(1)))
    assert 1 <= len(started) <= 2


def test_little_is_made_ahead_of_what_was_taken():
    made = []
    results = in_order(lambda item: made.append(item) or item, range(100), 2)
    for taken in range(5):
        assert next(results) == taken
        assert len(made) <= taken + 4
    results.close()
    assert len(made) < 20


def test_an_exception_comes_out_and_what_has_not_begun_is_left_out():
    begun = []

    def work(item):
        begun.append(item)
        if item == 3:
            raise LookupError("of item 3")
        return item

    results = in_order(work, range(100), 2)
    with pytest.raises(LookupError, match="of item 3"):
        list(results)
    assert max(begun) < 10


def test_there_is_a_processor():
    assert processors() >= 1
