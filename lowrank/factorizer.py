"""The public verbs of this package: lower a layer, make its factors, say what they lose."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import LayerError
from ..ops.chain import Chain, LinkWeights
from ..records import ORIGINAL, Decomposition, LayerSpec
from .curves import ErrorCurve, curve_of
from .kinds import Factorization, Kind, Tabulated, draft_of
from .moments import MAX_VALUES, Moments, Source, vector_size
from .registry import KINDS, find_kind
from .selection import Selected, select
from .shapes import with_sides
from .shrinkage import WEIGHTS_ALONE, Shrinkage
from .two_sided import Layer, Sides, from_sides, judged


def lower(spec: LayerSpec, decomposition: Decomposition) -> Chain:
    """The chain of plain operators that computes the layer in this way.

    The original is a chain of one link. Raises `LayerError` for an unknown kind, one that does
    not apply to the layer, or ranks that are too many, too few, below 1 or above full rank.
    """
    return find_kind(decomposition.kind, decomposition.groups).lower(spec, decomposition)


def applicable_kinds(spec: LayerSpec) -> tuple[list[str], str]:
    """Kinds (the original not among them) that can replace the layer, and if there are none
    the reason in one phrase (else empty)."""
    reasons = {name: kind.applies(spec) for name, kind in KINDS.items() if name != ORIGINAL.kind}
    fitting = [name for name, reason in reasons.items() if not reason]
    return fitting, "" if fitting else next(iter(reasons.values()))


def full_ranks(spec: LayerSpec, kind: str, groups: int = 1) -> tuple[int, ...]:
    """The largest ranks of that kind, at which nothing is lost; () for the original.

    `groups` are a branched kind's branches. Raises `LayerError` if the kind is unknown or does
    not apply to the layer.
    """
    return _fitting(spec, kind, groups).full_ranks(spec)


def rank_step(spec: LayerSpec, kind: str, groups: int = 1) -> int:
    """What every rank of that kind is a multiple of: the layer's groups, or the branches."""
    return _fitting(spec, kind, groups).rank_step(spec)


def moments_wanted(spec: LayerSpec, kind: str) -> Source:
    """Of which vectors of the layer this kind can use moments; empty where it uses none, where
    the convolution is grouped, or where they have more than `MAX_VALUES` values.

    Raises `LayerError` if the kind is unknown or does not apply to the layer.
    """
    source = _fitting(spec, kind).moments
    if not source or spec.groups != 1 or vector_size(spec, source) > MAX_VALUES:
        return ""
    return source


def _fitting(spec: LayerSpec, kind: str | Kind, groups: int = 1) -> Kind:
    fitting = find_kind(kind, groups) if isinstance(kind, str) else kind.with_groups(groups)
    fitting.require_applies(spec)
    return fitting


@dataclass(frozen=True, slots=True, eq=False)
class Factorizer:
    """One layer's weight under one kind, taken apart once (see `factorizer`).

    Keep it while ranks of that layer are tried, then drop it: it holds float64 copies.
    """

    spec: LayerSpec
    kind: Kind
    factorization: Factorization
    layer_bias: NDArray[np.float64] | None
    dtype: np.dtype[Any]
    shrinkage: Shrinkage = WEIGHTS_ALONE
    """What the factors are made from where that was given, not chosen."""

    def at(self, ranks: tuple[int, ...]) -> tuple[LinkWeights, ...]:
        """Weights for each link of `lower(spec, Decomposition(kind, ranks))`, bias on the last."""
        ranks = self._checked(ranks)
        links = self.kind.links(self.spec, ranks)
        made = zip(self.factorization.weights(ranks), links, strict=True)
        weights = [self._cast(weight.reshape(link.weight_shape)) for weight, link in made]
        first = [LinkWeights(weight) for weight in weights[:-1]]
        return (*first, LinkWeights(weights[-1], self._bias(ranks)))

    def draft(self) -> Factorizer:
        """The same in a fraction of the time, some per cent worse where factors are refined for
        their ranks: what they are made from is chosen by estimates, and refined a little."""
        return replace(self, factorization=draft_of(self.factorization))

    def error(self, ranks: tuple[int, ...]) -> float:
        """Relative error of exactly these factors (see `layer_error`)."""
        return self.factorization.error(self._checked(ranks))

    def estimate(self, ranks: tuple[int, ...]) -> float:
        """As `error`, but cheaper: where factors are refined for their ranks (tucker2,
        branched_tucker, cp) the error before that, else the error itself."""
        return self.factorization.estimate(self._checked(ranks))

    def shrinkage_at(self, ranks: tuple[int, ...]) -> Shrinkage:
        """What these factors are made from. `factorizer` makes the same ones again when it is
        given that, the moments and the metric of the fit split."""
        if isinstance(self.factorization, Selected):
            return self.factorization.shrinkage_at(self._checked(ranks))
        return self.shrinkage

    @property
    def chosen(self) -> Shrinkage | None:
        """What was chosen, or given, for factors from all the data; None where at no rank factors
        are compared."""
        made = self.factorization
        return made.ways[-1][0] if isinstance(made, Selected) else None

    def error_curve(self) -> ErrorCurve:
        """The errors at all ranks of a grid; the original has none."""
        made = self.factorization
        if isinstance(made, Tabulated):
            return made.error_curve()
        return curve_of(
            made.estimate, self.kind.full_ranks(self.spec), self.kind.rank_step(self.spec)
        )

    def errors_by_rank(self) -> NDArray[np.float64]:
        """Errors (full + 1,) at ranks 0 (nothing kept: 1) to full, for a kind with one rank;
        estimates where factors are refined for their ranks (cp). A rank between two multiples
        of the layer's groups has the error of the lower one."""
        full = self.kind.full_ranks(self.spec)
        if len(full) != 1:
            raise LayerError(f"{self.kind.name} has {len(full)} ranks: no curve over one rank")
        made = self.factorization
        at = self.error_curve().at if isinstance(made, Tabulated) else made.estimate
        errors = [at((rank,)) for rank in range(1, full[0] + 1)]
        # A layer that has nothing to lose loses nothing.
        return np.array([1.0 if any(errors) else 0.0, *errors])

    def _checked(self, ranks: tuple[int, ...]) -> tuple[int, ...]:
        wanted = Decomposition(self.kind.name, tuple(ranks), self.kind.groups)
        return self.kind.checked_ranks(self.spec, wanted)

    def _bias(self, ranks: tuple[int, ...]) -> NDArray[Any] | None:
        if not self.spec.bias:
            return None
        if self.layer_bias is None:
            raise LayerError("the layer has a bias, but none was given")
        return self._cast(self.factorization.bias(ranks, self.layer_bias))

    def _cast(self, array: NDArray[np.float64]) -> NDArray[Any]:
        """A contiguous copy in the layer's dtype: never a view of what is remembered here."""
        return np.array(array, dtype=self.dtype, order="C")


def factorizer(
    spec: LayerSpec,
    kind: str | Kind,
    weight: NDArray[Any],
    bias: NDArray[Any] | None = None,
    moments: Moments | None = None,
    shrinkage: Shrinkage | float | None = None,
    held_out: Moments | None = None,
    groups: int = 1,
    outputs_metric: NDArray[Any] | None = None,
    held_out_metric: NDArray[Any] | None = None,
) -> Factorizer:
    """Take one layer's weight apart for all ranks of one kind (a value, or a name), in
    `groups` branches.

    `weight` has `spec.weight_shape`; `bias` (C_out,) may be left out when only errors are
    asked for. `moments` are those that `moments_wanted` names, `outputs_metric` (C_out, C_out) says
    what errors of the output cost (see `output_metric`); either may be missing. `shrinkage` says
    which of them the factors are made from, and pulls each side towards the weight-only solution
    (a number: input moments alone). It is chosen where there are moments or a metric of other
    pictures (`held_out`, `held_out_metric`), unless it is given; then errors are those on these
    pictures, and at each rank the best of both sides, input moments alone and the weights alone
    is taken. Without any of them it is `Shrinkage.default`. All arithmetic is in float64; results
    have the spec's dtype, or float64 if `weight` is float64. Raises `LayerError`.
    """
    fitting = _fitting(spec, kind, groups)
    exact = _finite(weight, spec.weight_shape, "weight")
    if bias is not None and not spec.bias:
        raise LayerError("a bias was given for a layer without one")
    exact_bias = None if bias is None else _finite(bias, (spec.out_channels,), "bias")
    layer = Layer(spec, fitting, with_sides(spec, exact), exact_bias)
    fit = Sides.of(layer, moments, outputs_metric)
    held = Sides.of(layer, held_out, held_out_metric)
    made, used = _from(layer, fit, held, shrinkage)
    return Factorizer(spec, fitting, made, exact_bias, _result_dtype(spec, weight), used)


def _from(
    layer: Layer, fit: Sides, held_out: Sides, shrinkage: Shrinkage | float | None
) -> tuple[Factorization, Shrinkage]:
    """The factorization, and what it is made from where that is not chosen by rank."""
    known = shrinkage if isinstance(shrinkage, Shrinkage | None) else Shrinkage(shrinkage)
    if not fit or not layer.kind.full_ranks(layer.spec) or known == WEIGHTS_ALONE:
        return layer.kind.factorize(layer.spec, layer.weight, None, None), WEIGHTS_ALONE
    sides = Shrinkage.default(fit.moments, outputs=fit.metric is not None)
    if held_out:
        return select(layer, fit, held_out.completed(fit), sides, known), WEIGHTS_ALONE
    wanted = known or sides
    made = from_sides(layer, fit, wanted)
    return made if wanted.outputs is None else judged(made, layer, fit), wanted


def _finite(array: NDArray[Any], shape: tuple[int, ...], what: str) -> NDArray[np.float64]:
    if array.shape != shape:
        raise LayerError(f"the {what} has shape {array.shape}, the layer wants {shape}")
    exact = np.asarray(array, dtype=np.float64)
    if not np.isfinite(exact).all():
        raise LayerError(f"the {what} holds values that are not finite")
    return exact


def _result_dtype(spec: LayerSpec, weight: NDArray[Any]) -> np.dtype[Any]:
    if weight.dtype == np.float64:
        return weight.dtype
    try:
        return np.dtype(spec.dtype)
    except TypeError:
        raise LayerError(f"factors cannot be made in dtype {spec.dtype!r}") from None


def factor(
    spec: LayerSpec,
    decomposition: Decomposition,
    weight: NDArray[Any],
    bias: NDArray[Any] | None = None,
    moments: Moments | None = None,
    shrinkage: Shrinkage | float | None = None,
) -> tuple[LinkWeights, ...]:
    """Weights for each link of `lower(spec, decomposition)`: `factorizer` for one choice."""
    lower(spec, decomposition)  # refuses bad ranks before the work
    kind, groups = decomposition.kind, decomposition.groups
    made = factorizer(spec, kind, weight, bias, moments, shrinkage, groups=groups)
    return made.at(decomposition.ranks)


def layer_error(
    spec: LayerSpec,
    decomposition: Decomposition,
    weight: NDArray[Any],
    moments: Moments | None = None,
    shrinkage: Shrinkage | float | None = None,
) -> float:
    """What the factors lose.

    With moments that the kind uses: sqrt(lost output variance / output variance) under the
    moments themselves, not the shrunk ones (for a layer without bias: second moments about
    zero). Otherwise the relative Frobenius error of the weight, in [0, 1]. A layer with nothing
    to lose (all zero) has error 0.
    """
    lower(spec, decomposition)
    kind, groups = decomposition.kind, decomposition.groups
    made = factorizer(spec, kind, weight, None, moments, shrinkage, groups=groups)
    return made.error(decomposition.ranks)
