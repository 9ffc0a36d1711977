"""What is to be measured of each layer."""

from __future__ import annotations

from collections.abc import Iterable

from ..records import Candidate, LayerSpec, LayerUse

Wanted = dict[LayerSpec, tuple[Candidate, ...]]
"""The candidates of each layer."""


def keys_of(wanted: Wanted) -> list[str]:
    """Return the keys of all candidates, in their order."""
    return [candidate.key for group in wanted.values() for candidate in group]


def for_all_calls(wanted: Wanted, uses: Iterable[LayerUse]) -> Wanted:
    """Return the same with the candidates of one call of a layer for all of its calls: only what
    was measured for each of them has a sum. Where `wanted` is a part of a network, all calls of a
    layer are in it or none."""
    found = dict(wanted)
    several = [tuple(dict.fromkeys(use.every_call)) for use in uses]
    several = [specs for specs in several if len(specs) > 1 and specs[0] in wanted]
    for _ in several:  # what one layer adds may concern another of them
        for specs in several:
            ways = dict.fromkeys(one.decomposition for s in specs for one in found[s])
            found |= {spec: tuple(Candidate(spec, way) for way in ways) for spec in specs}
    return found
