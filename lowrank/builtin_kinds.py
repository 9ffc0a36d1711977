"""The built-in kinds of decomposition, as data. A new kind is one `Kind`."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial

from ..records import LayerSpec
from . import branched, canonical, input_svd, projection, shapes, tucker
from .grouped import by_group, each_group
from .kinds import Float64, Kind, Ranks
from .moments import Moments
from .registry import Registry


@dataclass(frozen=True, slots=True, eq=False)
class Unchanged:
    """The original as a factorization: one link, no loss."""

    weight: Float64

    def weights(self, ranks: Ranks) -> tuple[Float64, ...]:
        return (self.weight,)

    def bias(self, ranks: Ranks, bias: Float64) -> Float64:
        return bias

    def error(self, ranks: Ranks) -> float:
        return 0.0

    estimate = error


def _unchanged(
    spec: LayerSpec, weight: Float64, moments: Moments | None, shrinkage: float | None
) -> Unchanged:
    return Unchanged(weight)


def _nothing(spec: LayerSpec, weight: Float64) -> tuple[Float64, ...]:
    return ()


def _branched(branches: int) -> Kind:
    """branched_tucker with that many branches; a single one is tucker2's chain."""
    return Kind(
        "branched_tucker",
        shapes.branched_tucker_applies,
        partial(shapes.branched_full_ranks, branches),
        partial(shapes.branched_tucker_links, branches),
        tucker.channel_unfoldings,
        partial(branched.branched_tucker, branches),
        rank_step=partial(shapes.branch_step, branches),
        branch=_branched,
        groups=branches,
        branchings=(2, 4),
        by_default=False,
    )


BUILT_IN = (
    Kind(
        "original",
        shapes.original_applies,
        shapes.original_full_ranks,
        shapes.original_links,
        _nothing,
        _unchanged,
    ),
    Kind(
        "svd",
        shapes.svd_applies,
        shapes.projection_full_ranks,
        shapes.projection_links,
        each_group(projection.output_unfolding),
        by_group(projection.project_output),
        moments="outputs",
    ),
    Kind(
        "channel_svd",
        shapes.spatial_applies,
        shapes.projection_full_ranks,
        shapes.projection_links,
        each_group(projection.output_unfolding),
        by_group(projection.project_output),
        moments="outputs",
    ),
    Kind(
        "input_svd",
        shapes.spatial_applies,
        shapes.input_svd_full_ranks,
        shapes.input_svd_links,
        each_group(input_svd.input_unfolding),
        by_group(input_svd.project_input),
    ),
    Kind(
        "spatial_svd",
        shapes.spatial_svd_applies,
        shapes.spatial_svd_full_ranks,
        shapes.spatial_svd_links,
        each_group(projection.spatial_unfolding),
        by_group(projection.project_spatial),
        moments="patches",
    ),
    Kind(
        "tucker2",
        shapes.spatial_applies,
        shapes.tucker2_full_ranks,
        shapes.tucker2_links,
        each_group(tucker.channel_unfoldings),
        by_group(tucker.tucker2),
        moments="patches",
    ),
    _branched(1),
    Kind(
        "cp",
        shapes.spatial_applies,
        shapes.cp_full_ranks,
        shapes.cp_links,
        each_group(canonical.larger_unfolding),
        by_group(canonical.cp),
        by_default=False,
    ),
)

KINDS = Registry(BUILT_IN)
"""By name, built-in kinds first; those of other packages are looked for when they are needed."""


def find_kind(name: str, groups: int = 1) -> Kind:
    """The kind of that name, in so many branches; `LayerError` that lists the known ones."""
    return KINDS.find(name).with_groups(groups)
