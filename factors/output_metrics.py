"""How much errors of a layer's output matter to what is compared of the network."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from functools import partial

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from ..inputs.examples import Given
from ..lowrank import Source
from ..models.differentiable import Differentiable
from ..models.moment_sums import MomentSums, channel_axis, channel_rows, gather
from ..models.torch_batches import BATCH, fitting_batch
from ..models.workers import processors
from .cotangents import Cotangents
from .gradients import (
    MAX_BYTES,
    Take,
    by_batch,
    bytes_held,
    pull_back,
    recorded,
    require_gradients,
)


def output_metrics(
    network: Differentiable,
    inputs: Given,
    names: Iterable[str],
    cotangents: Cotangents,
) -> dict[str, NDArray[np.float64]]:
    """Return for each named layer the metric G (C_out, C_out) of errors of its output.

    G is the sum over examples, their cotangents v and output positions of g g^T, where g is the
    gradient of v . y by the layer's output at that position. With A = E[x x^T], the mean over
    examples and positions of what the layer sees, tr(G D A D^T) is then an estimate of the squared
    network error that a change D of the layer's weight makes, if g and x are independent and
    positions are as well (the approximation of K-FAC; Martens and Grosse 2015, Grosse and Martens
    2016). At most `moment_sums.MAX_POSITIONS` positions of a picture count and stand for all. A
    layer without influence has a metric of zeros.

    Raises `ModelError` where no gradient can be taken.
    """
    wanted: dict[str, list[Source]] = {name: ["outputs"] for name in names}
    size = _batch_size(network, len(inputs))

    def add_all(sums: MomentSums) -> None:
        work = partial(_gradient_rows, sums.names("outputs"), cotangents)
        for found in by_batch(network, inputs, size, work):
            for name, rows in found:
                sums.add_rows(name, "outputs", rows)

    gathered = gather(network.layers, wanted, add_all)
    require_gradients(moments.count > 0 for moments in gathered.values())
    return {name: moments.second * moments.count for (name, _), moments in gathered.items()}


def _gradient_rows(
    names: Sequence[str],
    cotangents: Cotangents,
    network: Differentiable,
    batch: Given,
    examples: Mapping[int, int],
) -> list[tuple[str, NDArray[np.float32]]]:
    """Return the gradients by the named layers' outputs as rows (positions, C_out), for each call
    of a layer and each direction. Rows that stand for others, too, are so much larger."""
    axes = {use.name: channel_axis(use.spec) for use in network.layers if use.spec}
    found: list[tuple[str, NDArray[np.float32]]] = []

    def called(name: str, _inputs: Tensor, _outputs: Tensor) -> Take:
        def take(gradient: Tensor) -> None:
            rows = channel_rows(gradient.numpy(), axes[name])
            found.append((name, rows * np.float32(math.sqrt(gradient.numel() / rows.size))))

        return take

    with recorded(network, batch, cotangents.compared, names, called) as parts:
        for direction in cotangents.directions(parts, examples):
            pull_back(parts, direction)
    return found


def _batch_size(network: Differentiable, examples: int) -> int:
    """Return how many examples go through the network together."""
    own = network.inputs.batch
    room = MAX_BYTES // (bytes_held(network) * processors())
    wanted = min(BATCH, room, examples)
    return fitting_batch(network.module, network.inputs, wanted) if wanted > own else own
