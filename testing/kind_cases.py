"""The layers that a kind of decomposition is tried on, and what a test asks about one of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import product
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..lowrank import Factorizer, Kind, Moments, factorizer
from ..lowrank.shapes import Ranks, with_sides
from ..ops.chain import Chain, LinkWeights
from ..ops.reference import reference
from ..records import Decomposition, LayerSpec

Float64 = NDArray[np.float64]

LAYERS: dict[str, LayerSpec] = {
    "3x3": LayerSpec("conv2d", 6, 8, (6, 9, 7), (3, 3), padding=(1, 1, 1, 1)),
    "3x3 without bias": LayerSpec("conv2d", 7, 4, (7, 8, 8), (3, 3), bias=False),
    "everything uneven": LayerSpec(
        "conv2d", 5, 6, (5, 13, 12), (3, 2), (2, 1), (1, 0, 2, 3), (1, 2)
    ),
    "one row": LayerSpec("conv2d", 4, 6, (4, 8, 9), (1, 3), padding=(0, 1, 0, 1)),
    "one column": LayerSpec("conv2d", 6, 4, (6, 9, 8), (3, 1), (2, 2)),
    "1x1": LayerSpec("conv2d", 6, 9, (6, 7, 8), stride=(2, 1), padding=(0, 1, 0, 0)),
    "linear": LayerSpec("linear", 9, 7, (9,)),
    "linear of a sequence": LayerSpec("linear", 6, 8, (3, 6), bias=False),
    "groups": LayerSpec("conv2d", 6, 8, (6, 8, 9), (3, 3), (1, 2), groups=2),
    "1x1 in groups": LayerSpec("conv2d", 6, 9, (6, 6, 6), groups=3),
    "depthwise": LayerSpec("conv2d", 5, 5, (5, 9, 8), (3, 5), (2, 1), (1, 2, 0, 2), groups=5),
    "sequence": LayerSpec("conv1d", 5, 6, (5, 11), (4,), (2,), (1, 2)),
    "1x1 of a sequence": LayerSpec("conv1d", 5, 6, (5, 4), bias=False),
    "depthwise sequence": LayerSpec("conv1d", 4, 4, (4, 9), (3,), groups=4),
    "volume": LayerSpec("conv3d", 4, 5, (4, 6, 7, 5), (2, 3, 2), (1, 2, 1), (1, 0, 1, 0, 1, 1)),
    "frames of a volume": LayerSpec("conv3d", 4, 3, (4, 3, 5, 6), (1, 3, 2), bias=False),
    "transposed": LayerSpec(
        "conv_transpose2d", 5, 4, (5, 5, 6), (3, 2), (2, 1), (1, 0, 0, 1), output_padding=(1, 0)
    ),
    "transposed in groups": LayerSpec(
        "conv_transpose2d", 4, 6, (4, 4, 5), (2, 3), (1, 2), groups=2, bias=False
    ),
    "transposed depthwise": LayerSpec("conv_transpose2d", 4, 4, (4, 5, 5), (2, 3), groups=4),
    "transposed 1x1": LayerSpec("conv_transpose2d", 5, 4, (5, 4, 5)),
    "transposed sequence": LayerSpec("conv_transpose1d", 4, 6, (4, 5), (3,), (2,), (1, 0)),
    "transposed volume": LayerSpec("conv_transpose3d", 3, 4, (3, 3, 4, 3), (2, 2, 3), (1, 2, 2)),
}
"""Small, and each with a trait that shapes or weights could get wrong."""

GEOMETRIES: list[dict[str, Any]] = [
    {"stride": stride, "padding": padding, "dilation": dilation}
    for stride, padding, dilation in product(
        [(1, 1, 1), (2, 1, 2), (3, 2, 1)],
        [((0, 0, 0), (0, 0, 0)), ((1, 1, 1), (1, 1, 1)), ((2, 0, 1), (1, 3, 0))],
        [(1, 1, 1), (2, 1, 2)],
    )
]
"""Strides, paddings (begins, ends) and dilations that every convolution is given, as many numbers
of each as it has axes."""


@dataclass(frozen=True, slots=True)
class KindCase:
    """One kind, in a number of branches, and a layer that it applies to."""

    kind: Kind
    spec: LayerSpec

    @property
    def full(self) -> Ranks:
        return self.kind.full_ranks(self.spec)

    @property
    def step(self) -> int:
        return self.kind.rank_step(self.spec)

    def ranks(self, share: float) -> Ranks:
        """The possible ranks next to that share of full rank."""
        return tuple(max(1, round(share * limit / self.step)) * self.step for limit in self.full)

    def decomposition(self, ranks: Ranks) -> Decomposition:
        return Decomposition(self.kind.name, ranks, self.kind.groups)

    def chain(self, ranks: Ranks) -> Chain:
        return self.kind.lower(self.spec, self.decomposition(ranks))

    def layer(self, seed: int = 0) -> LinkWeights:
        """Random weights of the layer in float64."""
        rng = np.random.default_rng(seed)
        bias = rng.standard_normal(self.spec.out_channels) if self.spec.bias else None
        return LinkWeights(rng.standard_normal(self.spec.weight_shape), bias)

    def factorizer(self, layer: LinkWeights, *moments: Moments, **options: Any) -> Factorizer:
        """The layer taken apart, with moments to fit to and others to judge by, if any. `options`
        are those of `lowrank.factorizer`."""
        fit, held_out = (*moments, None, None)[:2]
        return factorizer(
            self.spec,
            self.kind,
            layer.weight,
            layer.bias,
            fit,
            held_out=held_out,
            groups=self.kind.groups,
            **options,
        )

    def layer_outputs(self, layer: LinkWeights, inputs: Float64) -> Float64:
        return reference(Chain((self.spec,)), (layer,), inputs)

    def chain_outputs(
        self, ranks: Ranks, weights: Sequence[LinkWeights], inputs: NDArray[Any]
    ) -> Float64:
        return reference(self.chain(ranks), weights, inputs)

    def in_other_geometries(self) -> Iterator[KindCase]:
        """The same layer with every other stride, padding and dilation that the kind takes."""
        axes = self.spec.dimensions
        for geometry in GEOMETRIES if axes else ():
            begins, ends = geometry["padding"]
            spec = replace(
                self.spec,
                stride=geometry["stride"][:axes],
                padding=(*begins[:axes], *ends[:axes]),
                dilation=geometry["dilation"][:axes],
            )
            if not self.kind.applies(spec) and min(spec.output_shape) > 0:
                yield replace(self, spec=spec)

    def at_one_position(self) -> KindCase:
        """The layer with inputs as large as its kernel, so that it is a matrix of all of them: of
        a transposed one the position that sees all of its kernel is left."""
        spec = self.spec
        kernel = spec.kernel_size if spec.dimensions else ()
        cut = tuple(n - 1 for n in (*kernel, *kernel)) if spec.is_transposed else ()
        plain = LayerSpec(
            spec.op,
            spec.in_channels,
            spec.out_channels,
            (spec.in_channels, *kernel),
            kernel,
            padding=cut,
            groups=spec.groups,
            bias=spec.bias,
        )
        return replace(self, spec=plain)

    def patches(self, inputs: Float64) -> Float64:
        """What the kernel sees in inputs (n, ...) of a layer that has one position, in the order
        of the weight's axes."""
        axes = tuple(range(2, inputs.ndim)) if self.spec.is_transposed else ()
        return np.flip(inputs, axes).reshape(len(inputs), -1)

    def seen(self, weight: Float64) -> Float64:
        """A weight of the layer as the kind sees it."""
        return with_sides(self.spec, weight)


@cache
def taken_apart(case: KindCase) -> Factorizer:
    """The case's own layer, from the weights alone; kept, as some kinds iterate for each rank."""
    return case.factorizer(case.layer())


def cases_of(kind: Kind, layers: dict[str, LayerSpec]) -> dict[str, KindCase]:
    """The layers that the kind applies to, in each number of branches that it comes in."""
    branchings = dict.fromkeys((kind.groups, *kind.branchings))
    return {
        name + (f" in {groups} branches" if len(branchings) > 1 else ""): KindCase(
            kind.with_groups(groups), spec
        )
        for name, spec in layers.items()
        if not kind.applies(spec)
        for groups in branchings
    }


def inputs_of(spec: LayerSpec, count: int, seed: int) -> Float64:
    """Inputs whose values depend on each other, and are not zero on average."""
    rng = np.random.default_rng(seed)
    size = int(np.prod(spec.input_shape))
    mixing = np.random.default_rng(9).standard_normal((size, size)) * 0.7 ** np.arange(size)
    rows: Float64 = rng.standard_normal((count, size)) @ mixing.T + 0.4
    return rows.reshape(count, *spec.input_shape)


def metric_of(spec: LayerSpec, count: int, seed: int) -> Float64:
    """An output metric (C_out, C_out) of so many gradients, in which some outputs matter far more
    than others."""
    size = spec.out_channels
    mixing = np.random.default_rng(8).standard_normal((size, size)) * 0.5 ** np.arange(size)
    gradients = np.random.default_rng(seed).standard_normal((count, size)) @ mixing.T
    metric: Float64 = gradients.T @ gradients / count
    return metric
