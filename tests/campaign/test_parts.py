"""A profile in parts: all of it, nothing twice, about equally long, the same for everybody."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import Result

from rankwise.campaign.parts import Part, parts, timings
from rankwise.campaign.wanted import Wanted
from rankwise.errors import UsageError
from rankwise.records import Candidate, Decomposition, LayerSpec, LayerUse

Command = Callable[..., Result]


def spec(number: int) -> LayerSpec:
    return LayerSpec("linear", 64 + number, 64, (64 + number,))


def made(counts: list[int]) -> Wanted:
    """So many candidates of each spec."""
    return {
        (one := spec(number)): tuple(
            Candidate(one, Decomposition("svd", (8 * rank,))) for rank in range(1, count + 1)
        )
        for number, count in enumerate(counts)
    }


def uses_of(calls: list[tuple[int, ...]], specs: int) -> list[LayerUse]:
    """A layer for each spec, and layers that are called with several."""
    alone = [LayerUse(f"l{number}", "linear", spec(number)) for number in range(specs)]
    return alone + [
        LayerUse(f"s{n}", "linear", spec(of[0]), calls=tuple(spec(i % specs) for i in of))
        for n, of in enumerate(calls)
        if of
    ]


def length(part: Wanted) -> int:
    return sum(timings(len(candidates)) for candidates in part.values())


@given(
    counts=st.lists(st.integers(0, 30), min_size=1, max_size=30),
    calls=st.lists(st.tuples(st.integers(0, 29), st.integers(0, 29)), max_size=4),
    count=st.integers(1, 40),
)
def test_parts_are_all_of_it_and_equally_long(
    counts: list[int], calls: list[tuple[int, ...]], count: int
) -> None:
    calls = [tuple(i % len(counts) for i in of) for of in calls]
    wanted, uses = made(counts), uses_of(calls, len(counts))
    found = parts(wanted, uses, count)
    assert found == parts(wanted, uses, count)
    assert len(found) == count
    assert sorted(key.key for part in found for key in part) == sorted(key.key for key in wanted)
    assert {s: c for part in found for s, c in part.items()} == wanted
    for use in uses:
        assert len({n for n, part in enumerate(found) for s in use.every_call if s in part}) == 1
    lengths = [length(part) for part in found]
    assert lengths == sorted(lengths, reverse=True)
    if not calls:
        longest = max(timings(one) for one in counts)
        assert lengths[0] <= sum(lengths) / count + longest * (1 - 1 / count) + 1e-9


def test_a_part_says_which() -> None:
    wanted, uses = made([3, 5, 8, 1]), uses_of([], 4)
    assert [Part(number, 3).of(wanted, uses) for number in (1, 2, 3)] == parts(wanted, uses, 3)
    assert Part.parse("3/32") == Part(3, 32)
    assert str(Part(3, 32)) == "3/32"


@pytest.mark.parametrize("text", ["", "3", "0/4", "5/4", "a/b", "1/2/3", "-1/4", "1.5/4"])
def test_nonsense_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="--part is a part's number"):
        Part.parse(text)


@pytest.mark.parametrize("quantum", ["16", "auto"])
def test_parts_on_several_boards_are_the_whole_profile(
    rankwise: Command, network_file: Path, tmp_path: Path, quantum: str
) -> None:
    """The same rows as on one device; each spec on one board."""
    kind, words = "fake:step=16", ("--rank-quantum", quantum, "--kinds", "spatial_svd", "--json")
    whole = ("--db", tmp_path / "whole.db")
    result = rankwise("profile", network_file, "--backend", kind, *words, *whole)
    assert result.exit_code == 0, result.output
    for number in (3, 1, 2):
        backend = f"{kind},board=b{number}"
        part = ("--part", f"{number}/3")
        result = rankwise("profile", network_file, "--backend", backend, *words, *part)
        assert result.exit_code == 0, result.output
        assert json.loads(result.stdout)["part"] == f"{number}/3"
    left = rankwise("profile", network_file, "--backend", kind, *words)
    assert json.loads(left.stdout)["measured"] == 0
    one, shared = (
        json.loads(rankwise("table", "--json", *where).stdout)["rows"] for where in (whole, ())
    )
    assert {row["boards"] for row in shared} == {1}
    said = ("spec_key", "decomposition", "speedup", "speedup_low", "speedup_high", "verdict")
    assert [[row[n] for n in said] for row in one] == [[row[n] for n in said] for row in shared]
