"""Why a chain is or is not faster than its layer: counted costs held against measured times.

Numbers in, sentences out. What a device can do at best (its roofs) is not looked up: it is the
most that was seen among the rows of the same device and policy, so a sentence about limits is
about these measurements and no data sheet.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ..records import Verdict

ALIGNMENT = 4
"""The least multiple that vector units and tile sizes like."""
WORTH_SAYING = 1.1
"""Ratios nearer to one than this are left out of an explanation."""


@dataclass(frozen=True, slots=True)
class Cost:
    """What one way of computing a layer takes, for a whole batch. `moved_bytes` is the least
    traffic: every operator reads its input and weights and writes its output once."""

    macs: int
    moved_bytes: int
    launches: int
    latency_s: float

    @property
    def macs_per_byte(self) -> float:
        """Multiply-accumulates for each byte moved."""
        return self.macs / self.moved_bytes

    @property
    def macs_per_s(self) -> float:
        return self.macs / self.latency_s

    @property
    def bytes_per_s(self) -> float:
        return self.moved_bytes / self.latency_s


@dataclass(frozen=True, slots=True)
class Roofs:
    """The most that was seen on a device: multiply-accumulates and bytes in a second
    (Williams, Waterman and Patterson 2009, with measured roofs)."""

    macs_per_s: float
    bytes_per_s: float

    @classmethod
    def of(cls, costs: Iterable[Cost]) -> Roofs:
        """Raises `ValueError` without costs."""
        seen = list(costs)
        return cls(max(c.macs_per_s for c in seen), max(c.bytes_per_s for c in seen))

    @property
    def ridge(self) -> float:
        """Below this intensity, traffic and not arithmetic is the limit."""
        return self.macs_per_s / self.bytes_per_s


@dataclass(frozen=True, slots=True)
class Neighbour:
    """Another measured candidate of the same kind."""

    ranks: tuple[int, ...]
    latency_s: float


def reasons(
    original: Cost,
    chain: Cost,
    ranks: tuple[int, ...],
    verdict: Verdict,
    roofs: Roofs,
    neighbours: Sequence[Neighbour] = (),
) -> list[str]:
    """Sentences, the most telling first."""
    sentences = [
        _arithmetic(original, chain, verdict),
        _traffic(original, chain, roofs),
        _throughput(original, chain),
        _launches(original, chain),
        _better_neighbour(ranks, chain, neighbours),
        _alignment(ranks),
    ]
    return [sentence for sentence in sentences if sentence]


def _arithmetic(original: Cost, chain: Cost, verdict: Verdict) -> str:
    fewer, faster = original.macs / chain.macs, original.latency_s / chain.latency_s
    if verdict is Verdict.SLOWER:
        return f"needs {fewer:.2f} times fewer MACs and still takes {1 / faster:.2f} times as long"
    return f"needs {fewer:.2f} times fewer MACs and is {faster:.2f} times faster"


def _traffic(original: Cost, chain: Cost, roofs: Roofs) -> str:
    more = chain.moved_bytes / original.moved_bytes
    limited = chain.macs_per_byte < roofs.ridge
    if more < WORTH_SAYING and not limited:
        return ""
    said = (
        f"moves {more:.2f} times the bytes, so {chain.macs_per_byte:.1f} MACs a byte instead of "
        f"{original.macs_per_byte:.1f}"
    )
    if limited:
        said += f"; below {roofs.ridge:.1f}, which is where traffic limits this device"
    return said


def _throughput(original: Cost, chain: Cost) -> str:
    share = chain.macs_per_s / original.macs_per_s
    if 1 / WORTH_SAYING < share < WORTH_SAYING:
        return ""
    return (
        f"computes {chain.macs_per_s / 1e9:.1f} GMAC/s where the original computes "
        f"{original.macs_per_s / 1e9:.1f} ({share:.0%})"
    )


def _launches(original: Cost, chain: Cost) -> str:
    if chain.launches <= original.launches:
        return ""
    each = chain.latency_s / chain.launches
    return f"{chain.launches} operators instead of {original.launches}, {each * 1e6:.0f} us each"


def _better_neighbour(ranks: tuple[int, ...], chain: Cost, neighbours: Sequence[Neighbour]) -> str:
    """A candidate that keeps at least as much of the layer, and is faster all the same."""
    better = [
        other
        for other in neighbours
        if other.ranks != ranks
        and all(theirs >= ours for theirs, ours in zip(other.ranks, ranks, strict=True))
        and other.latency_s < chain.latency_s
    ]
    if not better:
        return ""
    best = min(better, key=lambda other: other.latency_s)
    shown, ours = ("x".join(map(str, r)) for r in (best.ranks, ranks))
    faster = chain.latency_s / best.latency_s
    return f"rank {shown} keeps more and is {faster:.2f} times faster than rank {ours}"


def _alignment(ranks: tuple[int, ...]) -> str:
    odd = [rank for rank in ranks if rank % ALIGNMENT]
    return (
        f"rank {odd[0]} is no multiple of {ALIGNMENT}: vector units are part empty" if odd else ""
    )
