"""Ranks by a rule, without measuring: what `layers --ranks` prints and `plan` may be held to."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from numpy.typing import NDArray

from .. import documents
from ..errors import UsageError
from ..lowrank import factorizer, find_kind, lower
from ..lowrank.modes import Mode, final_dense, find_mode
from ..lowrank.rank_rule import USUAL_KINDS, RankChoice, RankRule, choose
from ..lowrank.ranks import Rounding
from ..models.network import Network
from ..records import Decomposition, LayerSpec, LayerUse


@dataclass(frozen=True, slots=True)
class Ranking:
    """A rule, the kinds that it may take (the first that applies), and the layers it is for.

    `final_dense_ratio` is the final dense layer's own parameter reduction; None lets it follow
    the rule as all others do.
    """

    rule: RankRule
    kinds: tuple[str, ...]
    mode: Mode
    final_dense_ratio: float | None

    def rule_for(self, name: str, layers: Sequence[LayerUse]) -> RankRule:
        if self.final_dense_ratio is None or name != final_dense(layers):
            return self.rule
        return replace(self.rule, name="pr", ratio=self.final_dense_ratio)

    @property
    def note(self) -> documents.Ranking:
        rule = self.rule
        used = {"pr": "ratio", "vbmf": "weakening", "energy": "threshold", "fixed": "rank"}
        return documents.Ranking(
            rule=rule.name,
            parameters={used[rule.name]: getattr(rule, used[rule.name])},
            rank_quantum=rule.quantum,
            rounding=rule.rounding,
            kinds=list(self.kinds),
            mode=self.mode.name,
            final_dense_ratio=self.final_dense_ratio,
        )


def make_ranking(
    rule: str,
    *,
    mode: str = "vanilla",
    kinds: Sequence[str] | None = None,
    ratio: float | None = None,
    weakening: float | None = None,
    threshold: float | None = None,
    rank: int | None = None,
    rank_quantum: int | None = None,
    rounding: Rounding | None = None,
    final_dense_ratio: float | None = None,
) -> Ranking:
    """Checks everything that the user said; None takes `RankRule`'s default.

    Raises `UsageError` and its children.
    """
    for kind in kinds or ():
        find_kind(kind)
    chosen = find_mode(mode)
    if final_dense_ratio is None:
        final_dense_ratio = chosen.final_dense_ratio
    elif not final_dense_ratio > 0:
        raise UsageError(f"--final-dense-ratio must be more than 0, not {final_dense_ratio}")
    parameters: dict[str, Any] = {
        "ratio": ratio,
        "weakening": weakening,
        "threshold": threshold,
        "rank": rank,
        "quantum": rank_quantum,
        "rounding": rounding,
    }
    given = {name: value for name, value in parameters.items() if value is not None}
    made = RankRule(rule, **given)
    return Ranking(made, tuple(kinds or USUAL_KINDS), chosen, final_dense_ratio)


def ranked_layers(network: Network, ranking: Ranking) -> dict[str, documents.RankedLayer]:
    """What the rule makes of each layer that has a spec, by name."""
    selected = ranking.mode.select(network.layers)
    return {
        use.name: _ranked(network, ranking, use, use.spec, use.name in selected)
        for use in network.layers
        if use.spec is not None
    }


def _ranked(
    network: Network, ranking: Ranking, use: LayerUse, spec: LayerSpec, selected: bool
) -> documents.RankedLayer:
    choice, error = RankChoice(reason="excluded_by_mode"), 0.0
    if selected:
        weight, _ = network.weights(use.name)
        rule = ranking.rule_for(use.name, network.layers)
        choice = choose(spec, weight, rule, ranking.kinds)
        made = choice.decomposition
        if not made.is_original:
            error = factorizer(spec, made.kind, weight, groups=made.groups).error(made.ranks)
    chain = lower(spec, choice.decomposition)
    return documents.RankedLayer(
        decomposition=documents.Decomposition.of(choice.decomposition),
        macs=chain.macs,
        params=chain.params,
        layer_error=error,
        reason=choice.reason,
    )


def nearest_to_rule(
    measured: Iterable[Decomposition],
    use: LayerUse,
    weight: NDArray[Any],
    ranking: Ranking,
    layers: Sequence[LayerUse],
) -> set[Decomposition]:
    """Of each kind (and number of branches) that was measured, the candidate whose ranks come
    nearest to the rule's, by their share of them; none where the rule keeps the layer."""
    assert use.spec is not None
    families: dict[tuple[str, int], list[Decomposition]] = {}
    for candidate in measured:
        if not candidate.is_original:
            families.setdefault((candidate.kind, candidate.groups), []).append(candidate)
    rule = ranking.rule_for(use.name, layers)
    nearest = set()
    for (kind, groups), candidates in families.items():
        wanted = choose(use.spec, weight, rule, (kind,), groups=groups).decomposition
        if not wanted.is_original:
            nearest.add(min(candidates, key=lambda one: _distance(one, wanted)))
    return nearest


def _distance(one: Decomposition, wanted: Decomposition) -> float:
    pairs = zip(one.ranks, wanted.ranks, strict=True)
    return sum(abs(rank - aim) / aim for rank, aim in pairs)


def kind_of(use: LayerUse, kinds: Sequence[str]) -> str:
    """The first of the kinds that applies to the layer; empty where none does."""
    if use.spec is None:
        return ""
    return next((kind for kind in kinds if not find_kind(kind).applies(use.spec)), "")
