"""A profile in parts, for as many devices of one kind as there are: the same parts wherever they
are worked out, so that a part's number says all.

Parts are about equally long, and several for each device: whoever is done takes the next, so that a
slow or lost device holds up no more than its part. What one part has measured is in the store; who
does it again measures only what is missing.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Self

from ..errors import UsageError
from ..profiler.sweep import MAX_AT_ONCE
from ..records import Candidate, LayerSpec, LayerUse
from .wanted import Wanted

PER_DEVICE = 4
"""Parts for each device: a device that is lost, or last, costs a quarter of its time at most."""


@dataclass(frozen=True, slots=True)
class Part:
    """Part `number` of `count`, from 1; written `3/32`."""

    number: int
    count: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read what `str` writes. Raises `UsageError`."""
        number, slash, count = text.partition("/")
        if slash and number.isdecimal() and count.isdecimal() and 1 <= int(number) <= int(count):
            return cls(int(number), int(count))
        raise UsageError(f"--part is a part's number and how many there are, as 3/32, not {text!r}")

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"

    def of(self, wanted: Wanted, uses: Iterable[LayerUse]) -> Wanted:
        """What of all that is wanted is this part's."""
        return parts(wanted, uses, self.count)[self.number - 1]


def parts(wanted: Wanted, uses: Iterable[LayerUse], count: int) -> list[Wanted]:
    """Return what is wanted in `count` parts, the longest first; there may be empty ones.

    All candidates of a spec are in one part, and with them those of specs that a layer is called
    with as well. Each goes to the part that is shortest so far, the longest before the others
    (Graham 1969: the longest part is at most the mean and one layer more).
    """
    groups = _groups(wanted, uses)
    weights = [sum(timings(len(wanted[spec])) for spec in group) for group in groups]
    shares: list[list[LayerSpec]] = [[] for _ in range(count)]
    lengths = [(0, number) for number in range(count)]
    for index in sorted(range(len(groups)), key=lambda index: (-weights[index], index)):
        length, number = heapq.heappop(lengths)
        shares[number] += groups[index]
        heapq.heappush(lengths, (length + weights[index], number))
    longest_first = [number for _, number in sorted(lengths, key=lambda one: (-one[0], one[1]))]
    return [_in_order(wanted, shares[number]) for number in longest_first]


def timings(candidates: int) -> int:
    """How long a spec takes, as the workloads that a preparation of it times: each is timed for
    about as long, whatever the layer, and the original again in each session."""
    return candidates + -(-candidates // MAX_AT_ONCE)


def _in_order(wanted: Wanted, share: Sequence[LayerSpec]) -> Wanted:
    chosen = set(share)
    return {spec: candidates for spec, candidates in wanted.items() if spec in chosen}


def _groups(
    wanted: Mapping[LayerSpec, tuple[Candidate, ...]], uses: Iterable[LayerUse]
) -> list[list[LayerSpec]]:
    """Specs that a layer is called with together, and the others alone, in their order."""
    group = {spec: [spec] for spec in wanted}
    for use in uses:
        for spec in use.every_call[1:]:
            one, other = group[use.every_call[0]], group[spec]
            if one is not other:
                one += other
                group.update(dict.fromkeys(other, one))
    return list({id(its): its for its in group.values()}.values())
