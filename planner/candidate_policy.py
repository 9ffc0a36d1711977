"""What a plan may choose from: layers by compression mode, candidates by rank selection."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ..campaign.setup import Setup
from ..errors import UsageError
from ..lowrank import applicable_kinds
from ..lowrank.modes import Mode, shipped_modes
from ..models.network import Network
from ..profiler.candidates import default_candidates, dropped
from ..records import LayerUse, Verdict
from ..search.combined_rows import layer_rows
from ..search.table import SpeedupTable, TableRow
from .ranking import Ranking, make_ranking, nearest_to_rule

AUTO = "auto"
"""The compression mode that is searched for, among the shipped ones."""
SELECTIONS = ("search", "pr", "vbmf", "energy")


@dataclass(frozen=True, slots=True)
class CandidatePolicy:
    """Which layers may change, and to which of the measured candidates.

    `ranking` is None where all of these may be chosen (`search`). With `searched` the mode is
    searched for, too; `mode` is then the widest one."""

    mode: Mode
    ranking: Ranking | None
    searched: bool = False

    @property
    def rank_selection(self) -> str:
        return self.ranking.rule.name if self.ranking else "search"

    def allowed(self, network: Network, table: SpeedupTable) -> Mapping[str, Sequence[TableRow]]:
        """The rows of what may be chosen, by the names of the layers that the mode selects."""
        selected = self.mode.select(network.layers, _faster(network, table))
        return {
            use.name: self._candidates(network, use, table)
            for use in network.layers
            if use.name in selected
        }

    def modes(self, network: Network, table: SpeedupTable) -> dict[str, set[str]]:
        """Names of the layers that each mode in question selects, the narrowest mode first."""
        modes = shipped_modes() if self.searched else {self.mode.name: self.mode}
        faster = _faster(network, table)
        selected = {name: mode.select(network.layers, faster) for name, mode in modes.items()}
        return dict(sorted(selected.items(), key=lambda item: len(item[1])))

    def _candidates(
        self, network: Network, use: LayerUse, table: SpeedupTable
    ) -> Sequence[TableRow]:
        rows = layer_rows(table, use)
        if self.ranking is None or not rows:
            return rows
        weight, _ = network.weights(use.name)
        measured = [row.decomposition for row in rows]
        nearest = nearest_to_rule(measured, use, weight, self.ranking, network.layers)
        return [row for row in rows if row.decomposition in nearest]


def _faster(network: Network, table: SpeedupTable) -> set[str]:
    return {use.name for use in network.layers if _best_is_faster(use, table)}


def _best_is_faster(use: LayerUse, table: SpeedupTable) -> bool:
    rows = layer_rows(table, use)
    candidates = [row for row in rows if not row.decomposition.is_original]
    best = max(candidates, key=lambda row: row.speedup, default=None)
    return best is not None and best.verdict is Verdict.FASTER


def why_none(setup: Setup, use: LayerUse) -> str:
    """Why `profile` by itself measures nothing of a layer, in one phrase; else empty."""
    if use.spec is None or use.reason:
        return use.reason or use.op
    quantum = setup.backend.rank_quantum(setup.policy)
    if default_candidates(use.spec, None, quantum):
        return ""
    kinds, reason = applicable_kinds(use.spec)
    reasons = dropped(use.spec, None, quantum).values()
    return reason or next(iter(reasons), f"only {', '.join(kinds)} apply, measured when named")


def candidate_policy(
    mode: str = "vanilla",
    rank_selection: str = "search",
    *,
    ratio: float | None = None,
    weakening: float | None = None,
    threshold: float | None = None,
    final_dense_ratio: float | None = None,
) -> CandidatePolicy:
    """Check what the user said. Raises `UsageError` and its children."""
    if rank_selection not in SELECTIONS:
        raise UsageError(
            f"--rank-selection is one of {', '.join(SELECTIONS)}, not {rank_selection!r}"
        )
    ranking = make_ranking(
        "pr" if rank_selection == "search" else rank_selection,
        mode="vanilla" if mode == AUTO else mode,
        ratio=ratio,
        weakening=weakening,
        threshold=threshold,
        final_dense_ratio=final_dense_ratio,
    )
    if rank_selection != "search":
        return CandidatePolicy(ranking.mode, ranking, mode == AUTO)
    if any(one is not None for one in (ratio, weakening, threshold, final_dense_ratio)):
        raise UsageError("a rule's parameters need --rank-selection pr, vbmf or energy")
    return CandidatePolicy(ranking.mode, None, mode == AUTO)
