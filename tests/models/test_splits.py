"""Who gets which pictures: disjoint, all of them, the same for the same pictures."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rankwise.errors import CalibrationError
from rankwise.models.splits import (
    CONFIRM_PICTURES,
    FIT_PICTURES,
    SELECT_PICTURES,
    SPLITS,
    Split,
    SplitRule,
)


def hashes_of(count):
    return [hashlib.sha256(bytes([n % 256, n // 256])).hexdigest() for n in range(count)]


def sizes(count):
    split = Split.of(hashes_of(count))
    return tuple(len(split.indices(name)) for name in SPLITS)


@given(st.integers(3, 1200), st.integers(0, 3), st.booleans())
def test_disjoint_sets_of_everything(count, seed, confirm):
    split = SplitRule(seed, confirm).split(hashes_of(count))
    together = [index for name in SPLITS for index in split.indices(name)]
    assert sorted(together) == list(range(count))
    wanted = [name for name in SPLITS if name != "confirm" or (confirm and count > 3)]
    assert all(split.indices(name) for name in wanted)


@pytest.mark.parametrize(
    ("count", "expected"),
    [
        (3, (1, 1, 0, 1)),
        (4, (1, 1, 1, 1)),
        (12, (4, 2, 3, 3)),
        (24, (8, 4, 6, 6)),
        (28, (9, 5, 7, 7)),
        (60, (18, 12, 15, 15)),
        (1000, (FIT_PICTURES, SELECT_PICTURES, CONFIRM_PICTURES, 680)),
    ],
)
def test_sizes(count, expected):
    assert sizes(count) == expected


@given(st.integers(4, 1200))
def test_more_pictures_are_no_less_for_anything_but_the_roundings(count):
    assert all(more >= less - 2 for more, less in zip(sizes(count + 1), sizes(count), strict=True))


@given(st.permutations(range(12)), st.integers(0, 2))
def test_order_of_reading_does_not_matter(order, seed):
    hashes = hashes_of(12)
    shuffled = [hashes[n] for n in order]
    for name in SPLITS:
        first = {hashes[n] for n in Split.of(hashes, seed).indices(name)}
        assert {shuffled[n] for n in Split.of(shuffled, seed).indices(name)} == first


def test_seeds_differ_and_the_first_is_the_order_of_the_hashes():
    hashes = hashes_of(20)
    splits = [Split.of(hashes, seed) for seed in range(5)]
    assert len(set(splits)) == 5
    first = [hashes[n] for n in splits[0].select]
    assert first == sorted(hashes)[: len(first)]


def test_without_a_confirm_split_as_it_was():
    hashes = hashes_of(10)
    order = sorted(range(10), key=hashes.__getitem__)
    split = SplitRule(7, confirm=False).split(hashes)
    assert split == Split(tuple(order[4:]), tuple(order[:2]), (), tuple(order[2:4]))


def test_too_few():
    with pytest.raises(CalibrationError, match="at least 3"):
        Split.of(["a", "b"])
