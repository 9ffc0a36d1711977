"""Queries for devices of a fleet: one small language, read in one place."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rankwise.errors import UsageError
from rankwise.options.device_query import DeviceQuery, parse_query
from rankwise.options.shared import DEVICES

DEVICE = ("ab12", ["lab-a", "fast"], "fake:step=16,seed=1", "3fa9c0ffee000000")
texts = st.text("abc019-._:", min_size=1, max_size=12)
queries = st.builds(
    DeviceQuery,
    id=texts | st.just(""),
    labels=st.lists(texts, max_size=2, unique=True).map(sorted).map(tuple),
    backend=texts | st.just(""),
    hardware=texts | st.just(""),
)


@pytest.mark.parametrize(
    ("text", "fits"),
    [
        ("", True),
        ("label=lab-a", True),
        ("label=fast label=lab-a", True),
        ("label=lab-b", False),
        ("label=lab-a label=lab-b", False),
        ("backend=fake", True),
        ("backend=fake:step=16,seed=1", True),
        ("backend=fake:step=16", False),
        ("hardware=3fa9", True),
        ("hardware=fa9", False),
        ("id=ab12", True),
        ("id=ab1", False),
        ("label=fast backend=fake hardware=3fa9 id=ab12", True),
        ("label=fast backend=torch-cpu", False),
    ],
)
def test_all_words_have_to_fit(text: str, fits: bool) -> None:
    assert DeviceQuery.parse(text).fits(*DEVICE) == fits


@given(queries)
def test_it_is_read_as_it_is_written(query: DeviceQuery) -> None:
    written = str(query)
    assert DeviceQuery.parse(written) == query
    assert parse_query(written, "--device") == written
    assert not written or re.search(str(DEVICES.pattern), written)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("lable=lab-a", r"--device does not know 'lable=lab-a' \(did you mean 'label'\?\)"),
        ("lab-a", "write id=..., label=..., backend=..., hardware=..., with spaces"),
        ("label=", "does not know 'label='"),
        ("id=a id=b", "says id twice"),
    ],
)
def test_what_is_no_query_is_refused(text: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        DeviceQuery.parse(text)
