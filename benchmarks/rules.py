"""Rules of thumb that plans are compared with, each with one knob from 0 (nothing) to 1.

As published they choose layers and ranks without a clock; what a rule may know of the network
is its weights and, for the greedy one, errors on pictures.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import exp, log

from rankwise.lowrank import full_ranks, lower
from rankwise.lowrank.rank_rule import RankRule, choose
from rankwise.models.network import Network
from rankwise.records import Decomposition, LayerSpec

Decisions = Mapping[str, Decomposition]
Rule = Callable[[Network, float], Decisions]

MAX_RATIO = 8.0
"""Parameter reduction at the knob's end."""
SHARES = tuple(n / 10 for n in range(1, 10))
"""MACs that the greedy rule's candidates keep (AIMET's ten compression ratios)."""
STEPS = 7


def vanilla(network: Network, knob: float) -> Decisions:
    """The paper's vanilla decomposition: every layer, one parameter reduction, SVD and Tucker-2."""
    return _by_rule(network, RankRule("pr", ratio=exp(knob * log(MAX_RATIO))))


def divisor(network: Network, knob: float) -> Decisions:
    """The same on multiples of 64, as msModelSlim's divisor asks for (its beta is 1, too)."""
    return _by_rule(network, RankRule("pr", ratio=exp(knob * log(MAX_RATIO)), quantum=64))


def musco(network: Network, knob: float) -> Decisions:
    """VBMF ranks, weakened (MUSCO)."""
    return _by_rule(network, RankRule("vbmf", weakening=knob))


def _by_rule(network: Network, rule: RankRule) -> Decisions:
    found = {}
    for use in network.layers:
        if use.spec is not None:
            made = choose(use.spec, network.weights(use.name)[0], rule).decomposition
            if not made.is_original:
                found[use.name] = made
    return found


class Greedy:
    """Spatial SVD with ranks by a threshold on each layer's own loss (AIMET): of each layer the
    candidate with the fewest MACs that alone loses no more than all others may."""

    def __init__(self, network: Network, lost: Callable[[Decisions], float]) -> None:
        self.table = {
            use.name: [(lost({use.name: one}), one) for one in spatial_candidates(use.spec)]
            for use in network.layers
            if use.spec is not None
        }
        losses = [loss for rows in self.table.values() for loss, _ in rows if loss > 0]
        self.low, self.high = min(losses), max(losses)

    def __call__(self, _network: Network, knob: float) -> Decisions:
        threshold = self.low * (self.high / self.low) ** knob if knob else 0.0
        found = {}
        for name, rows in self.table.items():
            fitting = [one for loss, one in rows if loss <= threshold]
            if fitting:
                found[name] = fitting[0]
        return found


def spatial_candidates(spec: LayerSpec) -> list[Decomposition]:
    """By rising MACs; 1x1 kernels and linear layers by SVD, which is what spatial SVD is there."""
    kind = "spatial_svd" if max(spec.kernel_size) > 1 else "svd"
    try:
        (full,) = full_ranks(spec, kind)
    except Exception:
        return []
    one = lower(spec, Decomposition(kind, (1,))).macs
    ranks = dict.fromkeys(min(full, int(share * spec.macs / one)) for share in SHARES)
    return [Decomposition(kind, (rank,)) for rank in ranks if rank >= 1]


def strongest(make: Callable[[float], Decisions], used: Callable[[Decisions], float]) -> Decisions:
    """The decisions at the largest knob that keep the limit, by bisection."""
    if used(best := make(1.0)) <= 1:
        return best
    low, high, best = 0.0, 1.0, {}
    for _ in range(STEPS):
        middle = (low + high) / 2
        found = make(middle)
        if used(found) <= 1:
            low, best = middle, found
        else:
            high = middle
    return best


RULES: Sequence[tuple[str, Rule | None]] = (
    ("vanilla PR", vanilla),
    ("VBMF, weakened (MUSCO)", musco),
    ("spatial SVD, greedy (AIMET)", None),
    ("Tucker-2, divisor 64 (msModelSlim)", divisor),
)
"""None: made from what single layers lose (`Greedy`)."""
