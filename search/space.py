"""What may be chosen for each layer, and why a layer keeps its original."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, replace
from math import fsum, gcd
from statistics import NormalDist

from ..records import ORIGINAL, Decomposition, LayerUse, Verdict, content_key
from .table import TableRow

IN_FLOAT = "in_float32"
"""Why a layer stays in float32 among others in int8: it loses less there."""
QUANTA = (256, 128, 64, 32, 16, 8, 4, 2, 1)
"""Rank quanta from the coarsest: multiples of these are what hardware likes."""

ErrorOf = Callable[[Decomposition], float | None]
"""The squared layer error that a decomposition brings; None where it is not known."""


@dataclass(frozen=True, slots=True)
class Choice:
    """One way to compute one layer. `error_sq` is what adds up over layers.

    `reason` is empty where the choice may be taken, else the word for why it may not.
    """

    decomposition: Decomposition = ORIGINAL
    saving_s: float = 0.0
    saving_se_s: float = 0.0
    error_sq: float = 0.0
    params: int = 0
    measurement_id: str = ""
    verdict: Verdict | None = None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class LayerChoices:
    """A layer's choices, the original first; `rejected` ones were measured but may not be
    taken. `reason` says why the layer cannot change at all (else empty)."""

    name: str
    spec_key: str
    choices: tuple[Choice, ...]
    rejected: tuple[Choice, ...] = ()
    reason: str = ""

    def with_savings(self, savings_s: Iterable[float]) -> LayerChoices:
        """The layer whose choices but the original save that much, in their order; those that
        save nothing, nor lose less, are left out."""
        original, *others = self.choices
        pairs = zip(others, savings_s, strict=True)
        kept = (replace(one, saving_s=s) for one, s in pairs if s > 0 or stays(one.decomposition))
        return replace(self, choices=(original, *kept))


def stays(decomposition: Decomposition) -> bool:
    """Whether the layer stays as it is, in float32 among others in int8: it is no faster, and is
    chosen for what it does not lose."""
    return not decomposition.has_factors and not decomposition.is_original


@dataclass(frozen=True, slots=True)
class Assignment:
    """One choice for each layer, in the layers' order.

    `bound` is a proven limit of the objective (the saving in seconds, or the squared error
    where that was minimised) and `gap` the relative distance to it; None where not known.
    """

    names: tuple[str, ...]
    choices: tuple[Choice, ...]
    bound: float | None = None
    gap: float | None = None

    @property
    def saving_s(self) -> float:
        return fsum(choice.saving_s for choice in self.choices)

    @property
    def error_sq(self) -> float:
        return fsum(choice.error_sq for choice in self.choices)

    @property
    def params(self) -> int:
        return sum(choice.params for choice in self.choices)

    @property
    def decisions(self) -> dict[str, Decomposition]:
        """The layers that are replaced, by name, and by what."""
        pairs = zip(self.names, self.choices, strict=True)
        return {n: c.decomposition for n, c in pairs if not c.decomposition.is_original}

    @property
    def key(self) -> str:
        """Equal for equal decompositions of equal layers, whatever their numbers are."""
        decompositions = [choice.decomposition.to_json() for choice in self.choices]
        return content_key([list(self.names), decompositions])


@dataclass(frozen=True, slots=True)
class Decision:
    """What becomes of a layer. `reason` is the verdict's word for a replaced layer, else one
    of the reasons for keeping it."""

    name: str
    choice: Choice
    reason: str


def layer_choices(
    layer: LayerUse,
    rows: Iterable[TableRow],
    error_sq: ErrorOf,
    *,
    excluded: bool = False,
    accept: Collection[Verdict] = (Verdict.FASTER,),
    kept_error_sq: float = 0.0,
) -> LayerChoices:
    """The choices of one layer out of its spec's rows.

    `error_sq` is asked only about candidates with an accepted verdict. `excluded`: the
    compression mode forbids this layer. `kept_error_sq` is what the layer loses as it is (in int8).
    """
    key = layer.spec.key if layer.spec else ""
    params = layer.spec.params if layer.spec else 0
    original = Choice(params=params, error_sq=kept_error_sq)
    rows = [row for row in rows if not row.decomposition.is_original]
    reason = _fixed_reason(layer, bool(rows), excluded)
    if reason:
        return LayerChoices(layer.name, key, (original,), reason=reason)
    judged = [_judge(row, error_sq, accept, layer.shared) for row in rows]
    taken = tuple(choice for choice in judged if not choice.reason)
    rejected = tuple(choice for choice in judged if choice.reason)
    return LayerChoices(layer.name, key, (original, *taken), rejected)


def on_quantum(layer: LayerChoices, quantum: int) -> LayerChoices:
    """Without the choices whose ranks are not all multiples of the quantum."""
    original, *others = layer.choices
    kept = (c for c in others if gcd(*c.decomposition.ranks) % quantum == 0)
    return replace(layer, choices=(original, *kept))


def _fixed_reason(layer: LayerUse, measured: bool, excluded: bool) -> str:
    if layer.spec is None or layer.reason:
        return f"unsupported: {layer.reason or layer.op}"
    if excluded:
        return "excluded_by_mode"
    return "" if measured else "not_measured"


def _judge(row: TableRow, error_sq: ErrorOf, accept: Collection[Verdict], shared: int) -> Choice:
    """`shared` parameters of the layer stay when it is replaced."""
    reason, error = "", None
    if stays(row.decomposition):
        error = error_sq(row.decomposition)
    elif row.verdict not in accept:
        reason = row.verdict.lower()
    elif row.saving_s <= 0:
        reason = "undecided"  # the ratio and the difference disagree about the sign
    else:
        error = error_sq(row.decomposition)
        reason = "fidelity" if error is None else ""
    return Choice(
        decomposition=row.decomposition,
        saving_s=row.saving_s,
        saving_se_s=standard_error(row),
        error_sq=float("inf") if error is None else error,
        params=row.params + shared,
        measurement_id=row.measurement_id,
        verdict=row.verdict,
        reason=reason,
    )


def standard_error(row: TableRow) -> float:
    """The saving's, as if its interval were a normal one: too wide for few sessions."""
    width = row.saving_high_s - row.saving_low_s
    return width / (2 * NormalDist().inv_cdf(0.975))


def prune(
    choices: Sequence[Choice], amounts: Sequence[Callable[[Choice], float]] = ()
) -> tuple[Choice, ...]:
    """The choices that can be part of an optimum; the first (the original) always stays.

    Dropped is what another choice matches or beats in both saving and error (and in each of
    `amounts` that are limited): swapping it for that one never makes a plan worse.
    """
    original, *others = choices
    order = sorted(others, key=lambda c: (c.error_sq, -c.saving_s, c.params))
    kept = [original]
    if amounts:
        for choice in order:
            if not any(_dominates(other, choice, amounts) for other in kept):
                kept.append(choice)
        return tuple(kept)
    best = original.saving_s if original.error_sq <= 0 else float("-inf")
    for choice in order:
        if choice.saving_s > best:
            kept.append(choice)
            best = choice.saving_s
    return tuple(kept)


def _dominates(a: Choice, b: Choice, amounts: Sequence[Callable[[Choice], float]]) -> bool:
    within = a.error_sq <= b.error_sq and a.saving_s >= b.saving_s
    return within and all(amount(a) <= amount(b) for amount in amounts)


def decisions(layers: Sequence[LayerChoices], assignment: Assignment) -> list[Decision]:
    """Every layer's choice with its reason."""
    pairs = zip(layers, assignment.choices, strict=True)
    return [Decision(layer.name, choice, _why(layer, choice)) for layer, choice in pairs]


def _why(layer: LayerChoices, choice: Choice) -> str:
    if stays(choice.decomposition):
        return IN_FLOAT
    if not choice.decomposition.is_original:
        return (choice.verdict or Verdict.FASTER).lower()
    return kept_reason(layer)


def kept_reason(layer: LayerChoices) -> str:
    """Why a layer keeps its original: the reason nearest to a gain, over its candidates."""
    if layer.reason:
        return layer.reason
    if any(choice.decomposition.has_factors for choice in layer.choices):
        return "fidelity"
    reasons = {choice.reason for choice in layer.rejected}
    order = ("fidelity", "undecided", "same", "slower")
    return next((reason for reason in order if reason in reasons), "not_measured")


def quantum_of(decomposition: Decomposition) -> int:
    """The coarsest rank quantum whose multiples all ranks are (1 where there are no ranks)."""
    common = gcd(*decomposition.ranks)
    return next(q for q in QUANTA if common % q == 0) if common else 1
