"""What the search has found, before it is written down."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from ..search.space import Assignment
from .confirmation import Confirmed
from .whole_runs import Runs


@dataclass(frozen=True, slots=True)
class Found:
    """The winner, how it was confirmed, the runs that its promised speedup rests on, and what
    each replaced layer is thought to save in the network, in seconds. `why_not` says in one phrase
    why nothing was confirmed."""

    winner: Assignment
    confirmed: Confirmed | None = None
    why_not: str = ""
    runs: Runs = field(default_factory=dict)
    in_network: Mapping[str, float] = field(default_factory=dict)
