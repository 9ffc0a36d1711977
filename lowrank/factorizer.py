"""The public verbs of this package: lower a layer, make its factors, say what they lose."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import LayerError
from ..ops.chain import Chain, LinkWeights
from ..records import Decomposition, LayerSpec
from .catalog import KINDS, find_kind
from .kinds import Factorization, Kind
from .moments import OutputMoments


def lower(spec: LayerSpec, decomposition: Decomposition) -> Chain:
    """The chain of plain operators that computes the layer in this way.

    The original is a chain of one link. Raises `LayerError` for an unknown kind, one that does
    not apply to the layer, or ranks that are too many, too few, below 1 or above full rank.
    """
    return find_kind(decomposition.kind, decomposition.groups).lower(spec, decomposition)


def applicable_kinds(spec: LayerSpec) -> tuple[list[str], str]:
    """Kinds (the original not among them) that can replace the layer, and if there are none
    the reason in one phrase (else empty)."""
    reasons = {name: kind.applies(spec) for name, kind in KINDS.items() if name != "original"}
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


def _fitting(spec: LayerSpec, name: str, groups: int = 1) -> Kind:
    kind = find_kind(name, groups)
    reason = kind.applies(spec)
    if reason:
        raise LayerError(f"{name} does not apply to this layer: {reason}")
    return kind


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

    def at(self, ranks: tuple[int, ...]) -> tuple[LinkWeights, ...]:
        """Weights for each link of `lower(spec, Decomposition(kind, ranks))`, bias on the last."""
        ranks = self._checked(ranks)
        weights = [self._cast(weight) for weight in self.factorization.weights(ranks)]
        first = [LinkWeights(weight) for weight in weights[:-1]]
        return (*first, LinkWeights(weights[-1], self._bias(ranks)))

    def error(self, ranks: tuple[int, ...]) -> float:
        """Relative error of exactly these factors (see `layer_error`)."""
        return self.factorization.error(self._checked(ranks))

    def estimate(self, ranks: tuple[int, ...]) -> float:
        """As `error`, but at no cost for further ranks: an upper bound for the kinds that are
        refined rank by rank (tucker2, branched_tucker, cp), else the error itself."""
        return self.factorization.estimate(self._checked(ranks))

    def curve(self) -> NDArray[np.float64]:
        """Errors (full + 1,) at ranks 0 (nothing kept) to full, for a kind with one rank; the
        estimates where errors are not known for all ranks at once (cp). A rank between two
        multiples of the layer's groups has the error of the lower one."""
        full = self.kind.full_ranks(self.spec)
        if len(full) != 1:
            raise LayerError(f"{self.kind.name} has {len(full)} ranks: no curve over one rank")
        known = self.factorization.error if self.kind.exact_curve else self.factorization.estimate
        return np.array([known((r,)) for r in range(full[0] + 1)])

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
    kind: str,
    weight: NDArray[Any],
    bias: NDArray[Any] | None = None,
    moments: OutputMoments | None = None,
    shrinkage: float | None = None,
    groups: int = 1,
) -> Factorizer:
    """Take one layer's weight apart for all ranks of one kind, in `groups` branches.

    `weight` has `spec.weight_shape`; `bias` (C_out,) may be left out when only errors are
    asked for. `moments` matter to `svd` and `channel_svd` only. `shrinkage` in [0, 1] pulls
    them towards the weight-only solution (default `moments.default_shrinkage`; 1 is the
    weight-only subspace judged by the moments). All arithmetic is in float64; results have the
    spec's dtype, or float64 if `weight` is float64. Raises `LayerError`.
    """
    fitting = _fitting(spec, kind, groups)
    exact = _finite(weight, spec.weight_shape, "weight")
    if bias is not None and not spec.bias:
        raise LayerError("a bias was given for a layer without one")
    exact_bias = None if bias is None else _finite(bias, (spec.out_channels,), "bias")
    return Factorizer(
        spec,
        fitting,
        fitting.factorize(spec, exact, moments, shrinkage),
        exact_bias,
        _result_dtype(spec, weight),
    )


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
    moments: OutputMoments | None = None,
    shrinkage: float | None = None,
) -> tuple[LinkWeights, ...]:
    """Weights for each link of `lower(spec, decomposition)`: `factorizer` for one choice."""
    lower(spec, decomposition)  # refuses bad ranks before the work
    kind, groups = decomposition.kind, decomposition.groups
    made = factorizer(spec, kind, weight, bias, moments, shrinkage, groups)
    return made.at(decomposition.ranks)


def layer_error(
    spec: LayerSpec,
    decomposition: Decomposition,
    weight: NDArray[Any],
    moments: OutputMoments | None = None,
    shrinkage: float | None = None,
) -> float:
    """What the factors lose, in [0, 1].

    With moments, for `svd` and `channel_svd`: sqrt(lost output variance / output variance)
    under the moments themselves, not the shrunk ones (for a layer without bias: second moments
    about zero). Otherwise the relative Frobenius error of the weight. A layer with nothing to
    lose (all zero) has error 0.
    """
    lower(spec, decomposition)
    kind, groups = decomposition.kind, decomposition.groups
    made = factorizer(spec, kind, weight, None, moments, shrinkage, groups)
    return made.error(decomposition.ranks)


def error_curve(
    spec: LayerSpec,
    kind: str,
    weight: NDArray[Any],
    moments: OutputMoments | None = None,
    shrinkage: float | None = None,
) -> NDArray[np.float64]:
    """`layer_error` at every rank 0 (nothing kept) to full of a one-rank kind, (full + 1,)."""
    return factorizer(spec, kind, weight, None, moments, shrinkage).curve()
