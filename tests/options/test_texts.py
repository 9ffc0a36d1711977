"""Durations, ages, shapes, kinds and quanta as they are written."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rankwise.errors import UsageError
from rankwise.options.texts import (
    parse_age,
    parse_duration,
    parse_kinds,
    parse_quantum,
    parse_shape,
)


@pytest.mark.parametrize(
    ("parse", "text", "value"),
    [
        (parse_duration, "90s", 90.0),
        (parse_duration, "10m", 600.0),
        (parse_duration, "1.5h", 5400.0),
        (parse_age, "12h", 43_200.0),
        (parse_age, "90d", 7_776_000.0),
        (parse_age, "8w", 4_838_400.0),
        (parse_quantum, "auto", "auto"),
        (parse_quantum, "16", 16),
        (parse_kinds, "svd, tucker2", ["svd", "tucker2"]),
        (parse_shape, "1, 3,224,224", (1, 3, 224, 224)),
    ],
)
def test_what_they_say(parse: Callable[[str, str], Any], text: str, value: Any) -> None:
    assert parse(text, "--x") == value


@pytest.mark.parametrize(
    ("parse", "text"),
    [
        (parse_duration, "10"),
        (parse_duration, ""),
        (parse_duration, "3d"),
        (parse_duration, "infs"),
        (parse_duration, "nanh"),
        (parse_age, "90s"),
        (parse_age, "1e300w"),
        (parse_quantum, "few"),
        (parse_shape, "1"),
        (parse_shape, "1,0,2"),
        (parse_shape, "1,-3,2"),
        (parse_shape, "1,3,1e3"),
        (parse_shape, "1,2,3,4,5,6,7"),
    ],
)
def test_what_they_do_not_say(parse: Callable[[str, str], Any], text: str) -> None:
    with pytest.raises(UsageError, match=r"^--x .*; write it like "):
        parse(text, "--x")


@given(st.lists(st.integers(1, 999_999), min_size=2, max_size=6))
def test_a_shape_reads_as_it_is_written(shape: list[int]) -> None:
    assert parse_shape(",".join(map(str, shape))) == tuple(shape)
