"""`depthwise_svd`: a depthwise convolution in two passes, down the columns and along the rows.

Each channel's kh x kw kernel is a matrix, and its SVD a sum of products of a column and a row.
At m terms a channel, the chain is a (kh x 1) depthwise convolution with m outputs a channel and
a (1 x kw) convolution that adds them up: m * (kh + kw) multiply-accumulates instead of kh * kw.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from rankwise.lowrank import Kind, OutputMoments
from rankwise.records import LayerSpec

Float64 = NDArray[np.float64]
Ranks = tuple[int, ...]


def applies(spec: LayerSpec) -> str:
    """Empty, or the reason why not, in one phrase."""
    if not 1 < spec.groups == spec.in_channels == spec.out_channels:
        return "not a depthwise convolution"
    return "kernel with a single row or column" if 1 in spec.kernel_size else ""


def full_ranks(spec: LayerSpec) -> Ranks:
    """One rank over all channels; it is a multiple of the channels (`Kind.rank_step`)."""
    return (spec.groups * min(spec.kernel_size),)


def links(spec: LayerSpec, ranks: Ranks) -> tuple[LayerSpec, ...]:
    """All that is vertical on the first, the rest and the bias on the last."""
    top, left, bottom, right = spec.padding
    first = replace(
        spec,
        out_channels=ranks[0],
        kernel_size=(spec.kernel_size[0], 1),
        stride=(spec.stride[0], 1),
        padding=(top, 0, bottom, 0),
        dilation=(spec.dilation[0], 1),
        bias=False,
    )
    last = replace(
        spec,
        in_channels=ranks[0],
        input_shape=first.output_shape,
        kernel_size=(1, spec.kernel_size[1]),
        stride=(1, spec.stride[1]),
        padding=(0, left, 0, right),
        dilation=(1, spec.dilation[1]),
    )
    return first, last


def unfold(spec: LayerSpec, weight: Float64) -> tuple[Float64, ...]:
    """(channels, kh, kw): the matrices whose ranks the rank limits."""
    return (weight[:, 0],)


@dataclass(frozen=True)
class Separated:
    """The SVDs of all channels: columns (C, kh, n), values (C, n), rows (C, n, kw)."""

    columns: Float64
    values: Float64
    rows: Float64

    def weights(self, ranks: Ranks) -> tuple[Float64, ...]:
        terms = ranks[0] // len(self.values)
        columns = self.columns[:, :, :terms] * self.values[:, None, :terms]
        first = columns.transpose(0, 2, 1).reshape(ranks[0], 1, -1, 1)
        return first, self.rows[:, :terms, None, :]

    def bias(self, ranks: Ranks, bias: Float64) -> Float64:
        return bias

    def error(self, ranks: Ranks) -> float:
        energy = self.values**2
        lost = energy[:, ranks[0] // len(energy) :].sum()
        return float(np.sqrt(lost / energy.sum())) if energy.any() else 0.0

    estimate = error


def factorize(
    spec: LayerSpec, weight: Float64, moments: OutputMoments | None, shrinkage: float | None
) -> Separated:
    return Separated(*np.linalg.svd(weight[:, 0], full_matrices=False))


DEPTHWISE_SVD = Kind("depthwise_svd", applies, full_ranks, links, unfold, factorize)
