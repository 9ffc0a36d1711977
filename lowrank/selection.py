"""What a layer's factors are made from: chosen by held-out pictures.

Few pictures overfit. So the shrinkage of the input moments is taken under which the output on
*other* pictures (the select split) suffers least, then that of the output metric, and at each rank
the best of both sides, input moments alone and the weights alone. All errors are those of the
select split: sqrt(tr(G D A D^T) / tr(G W A W^T)) under its moments A and its output metric G.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from .curves import ErrorCurve, least
from .kinds import Arrays, Drafted, Float64, Tabulated, draft_of
from .output_error import MeasuredOnPatches, OutputError
from .shapes import Ranks
from .shrinkage import WEIGHTS_ALONE, Shrinkage
from .two_sided import Layer, Sides, from_sides, judged

INPUT_SHRINKAGES = [0.001, 0.01, 0.1, 0.3, 0.6, 1.0]
OUTPUT_SHRINKAGES = [0.003, 0.03, 0.3]
CONTENDING = 1.1
"""How many times what a way loses once it is refined its draft may lose: drafts are one to five
per cent above that."""
PROMISING = 1.25
"""The same of its estimate: where factors are refined in turns, estimates are one to ten per cent
above what they lose in the end. Drafts are made where more than one is within it of the least."""
SHARES = (0.25, 0.5)
"""Of full rank, at which shrinkages are compared."""
Way = tuple[Shrinkage, Tabulated]
"""What factors are made from, and the factors with their errors on held-out pictures."""


@dataclass(frozen=True, slots=True, eq=False)
class Selected:
    """At each rank the best of several ways on held-out pictures; of equal ones the first."""

    ways: tuple[Way, ...]
    _chosen: dict[Ranks, Way] = field(default_factory=dict, repr=False)

    def shrinkage_at(self, ranks: Ranks) -> Shrinkage:
        """What the factors at these ranks are made from."""
        return self._best(ranks)[0]

    def weights(self, ranks: Ranks) -> Arrays:
        return self._best(ranks)[1].weights(ranks)

    def bias(self, ranks: Ranks, bias: Float64) -> Float64:
        return self._best(ranks)[1].bias(ranks, bias)

    def error(self, ranks: Ranks) -> float:
        return self._best(ranks)[1].error(ranks)

    def estimate(self, ranks: Ranks) -> float:
        return min(made.estimate(ranks) for _, made in self.ways)

    def error_curve(self) -> ErrorCurve:
        names, made = zip(*self.ways, strict=True)
        return least([one.error_curve() for one in made], names)

    def _best(self, ranks: Ranks) -> Way:
        if ranks not in self._chosen:
            self._chosen[ranks] = self._compared(ranks)
        return self._chosen[ranks]

    def _compared(self, ranks: Ranks) -> Way:
        """Refines ways to the end, the one that may lose least first, until no other may lose less
        than the best of them: few pictures can be fitted so well that refining loses more."""
        bounds, errors = self._least_possible(ranks), dict[int, float]()
        for index in sorted(range(len(bounds)), key=bounds.__getitem__):
            if errors and bounds[index] > min(errors.values()):
                break
            errors[index] = self.ways[index][1].error(ranks)
        return self.ways[min(sorted(errors), key=errors.__getitem__)]

    def _least_possible(self, ranks: Ranks) -> list[float]:
        """What each way may lose at least once it is refined: by its estimate, or by its draft
        where the estimate is a loose bound, as that of a kind that is not refined in turns is, or
        does not tell the best ways apart."""
        tight = any(isinstance(made, Drafted) for of, made in self.ways if of.outputs is None)
        bounds = [made.estimate(ranks) / PROMISING if tight else 0.0 for _, made in self.ways]
        promising = [
            index for index, bound in enumerate(bounds) if bound <= PROMISING * min(bounds)
        ]
        if len(promising) > 1:
            for index in promising:
                bounds[index] = draft_of(self.ways[index][1]).error(ranks) / CONTENDING
        return bounds


def select(
    layer: Layer, fit: Sides, held_out: Sides, sides: Shrinkage, known: Shrinkage | None = None
) -> Selected:
    """The ways that are compared at each rank: the weights alone, input moments alone, and the
    output metric besides, as far as `sides` has an amount for them.

    The amounts are those of least held-out error, unless an earlier selection is given (`known`).
    Raises `LayerError` where the kind is measured by outputs and the layer's bias is missing.
    """
    ways, wanted = [(WEIGHTS_ALONE, _weights_alone(layer, held_out))], known or sides
    inputs = None
    if wanted.inputs is not None:
        amounts = INPUT_SHRINKAGES if known is None else [wanted.inputs]
        ways.append(_best(layer, fit, held_out, [Shrinkage(amount) for amount in amounts]))
        inputs = ways[-1][0].inputs
    if wanted.outputs is not None:
        amounts = OUTPUT_SHRINKAGES if known is None else [wanted.outputs]
        ways.append(_best(layer, fit, held_out, [Shrinkage(inputs, amount) for amount in amounts]))
    return Selected(tuple(ways))


def _best(layer: Layer, fit: Sides, held_out: Sides, amounts: Sequence[Shrinkage]) -> Way:
    """Of least held-out error, by the geometric mean over `SHARES` of full rank."""
    probes = _probes(layer)

    def tried(shrinkage: Shrinkage) -> tuple[float, Tabulated]:
        made = judged(from_sides(layer, fit, shrinkage), layer, held_out)
        errors = [max(made.estimate(ranks), np.finfo(float).tiny) for ranks in probes]
        return float(np.log(errors).mean()), made

    return downhill(amounts, tried)


def _probes(layer: Layer) -> tuple[Ranks, ...]:
    """The ranks at `SHARES` of full rank."""
    full, step = layer.kind.full_ranks(layer.spec), layer.kind.rank_step(layer.spec)
    return tuple(
        tuple(max(1, round(share * limit / step)) * step for limit in full) for share in SHARES
    )


def _weights_alone(layer: Layer, held_out: Sides) -> Tabulated:
    """The factors that know no data, judged as those are that do.

    From patches: their estimates are those of the fit under white noise, which has the same least.
    """
    plain = layer.kind.factorize(layer.spec, layer.weight, None, None)
    if layer.kind.moments == "outputs" or not layer.by_moments:
        return judged(plain, layer, held_out)
    white = judged(from_sides(layer, held_out, WEIGHTS_ALONE), layer, held_out)
    matrix, seen = layer.weight.reshape(len(layer.weight), -1), held_out.moments
    error = OutputError.of(layer.spec, matrix, seen or layer.white_moments(), None, held_out.heard)
    return MeasuredOnPatches(plain, error, white)


def downhill(
    amounts: Sequence[Shrinkage], tried: Callable[[Shrinkage], tuple[float, Tabulated]]
) -> Way:
    """The shrinkage of least score and what was made with it, from the middle to either side
    until it gets worse: scores have one valley. Keeps two things made at a time, because they
    are large."""
    position = (len(amounts) - 1) // 2
    score, made = tried(amounts[position])
    for step in (-1, 1):
        start = position
        while 0 <= position + step < len(amounts):
            other, candidate = tried(amounts[position + step])
            if other >= score:
                break
            score, made, position = other, candidate, position + step
        if position != start:
            break
    return amounts[position], made
