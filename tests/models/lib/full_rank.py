"""A network's layers replaced at full rank by every kind that applies, and what came of it."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial

from rankwise.errors import RankwiseError
from rankwise.lowrank import KINDS, applicable_kinds, factorizer, full_ranks, lower
from rankwise.models.network import Network, Replacements
from rankwise.records import Decomposition, LayerUse


@dataclass
class Tally:
    """`tried` replacements in `cases`; what was refused by its reason, the rest by its name."""

    cases: int = 0
    tried: int = 0
    right: int = 0
    refused: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    tracebacks: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        counts = (
            f"{self.cases} cases, {self.tried} replacements tried: {self.right} right, "
            f"{len(self.wrong)} wrong, {len(self.tracebacks)} tracebacks; "
            f"{self.refused.total()} refused with a reason"
        )
        reasons = [f"  {count:4} {reason}" for reason, count in self.refused.most_common()]
        return "\n".join([counts, *reasons, *self.wrong, *self.tracebacks])

    @contextmanager
    def watched(self, what: str) -> Iterator[None]:
        """Count what goes wrong in here."""
        try:
            yield
        except RankwiseError as error:
            self.refuse(str(error))
        except Exception as error:  # that there are none is what is tested
            self.tracebacks.append(f"{what}: {type(error).__name__}: {error}")

    def refuse(self, reason: str) -> None:
        """Shapes and paths are left out, so that like reasons count together."""
        assert "\n" not in reason
        self.refused[re.sub(r"\([\d, ]+\)|/\S+", "...", reason)] += 1

    def add(self, case: str, network: Network, answers_right: Callable[[Network], bool]) -> None:
        """Replace each layer by each kind. `answers_right` says it of a network."""
        for use in network.layers:
            kinds, reason = applicable_kinds(use.spec) if use.spec else ([], use.reason)
            if not kinds:
                self.refuse(reason)
            for kind in kinds:
                what = f"{case} {use.name!r} by {kind}"
                with self.watched(what):
                    self.tried += 1
                    made = network.replaced(at_full_rank(network, use, kind))
                    self._count(what, partial(answers_right, made))

    def _count(self, what: str, is_right: Callable[[], bool]) -> None:
        if is_right():
            self.right += 1
        else:
            self.wrong.append(f"wrong: {what}")


def at_full_rank(network: Network, use: LayerUse, kind: str) -> Replacements:
    spec, groups = use.spec, KINDS[kind].branchings[0]
    assert spec is not None
    ranks = full_ranks(spec, kind, groups)
    made = factorizer(spec, kind, *network.weights(use.name), groups=groups)
    return {use.name: (lower(spec, Decomposition(kind, ranks, groups)), made.at(ranks))}
