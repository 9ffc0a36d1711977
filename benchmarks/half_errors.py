"""What bfloat16 costs a network's outputs, by itself and beside low rank. Nothing is timed.

    python benchmarks/half_errors.py [NETWORK] [PICTURES]

NETWORK is one of `subjects.SUBJECTS` (demosaicking). Every 3x3 convolution of enough channels
becomes `tucker2` at half of its full ranks, with factors from the weights. Errors are on photos
that are kept back, against the original in float32.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from subjects import SUBJECTS

from rankwise.backends.base import in_dtype
from rankwise.backends.registry import open_backend
from rankwise.errors import RankwiseError
from rankwise.factors.assembly import Assembly
from rankwise.lowrank import full_ranks
from rankwise.models.compared import Compared
from rankwise.models.network import Network
from rankwise.models.network_error import NetworkError
from rankwise.network_timing.device_outputs import OnDevice
from rankwise.records import Decomposition, MeasurementPolicy

BACKENDS = ("torch-cpu", "openvino-cpu")
LEAST = 32
"""Channels that a layer has at least whose ranks are halved."""


def halved(network: Network) -> Network:
    """The network with half of its ranks."""
    decisions = {}
    for use in network.layers:
        if use.spec is None or use.reason:
            continue
        try:
            ranks = full_ranks(use.spec, "tucker2")
        except RankwiseError:  # the kind is for convolutions with a window
            continue
        if min(ranks) >= LEAST:
            decisions[use.name] = Decomposition("tucker2", tuple(rank // 2 for rank in ranks))
    return Assembly(network).network_with(decisions)


def main(name: str = "demosaicking", pictures: str = "40") -> None:
    subject = SUBJECTS[name]
    network = subject.network()
    with tempfile.TemporaryDirectory() as place:
        _, unseen = subject.drawn(8, 0, Path(place), int(pictures))
    reference = network.outputs(unseen.examples)
    compared = Compared.whole(network.output_names.compared)

    def error(outputs: object) -> float:
        return NetworkError.of(compared, reference, outputs, unseen.pictures).value  # type: ignore[arg-type]

    low = halved(network)
    in_float32 = error(low.outputs(unseen.examples))
    print(f"{name}, {unseen.pictures} pictures; low rank in float32 {in_float32:.5f}")
    for backend in map(open_backend, BACKENDS):
        for dtype in ("float32", "bfloat16"):
            policy = in_dtype(backend, MeasurementPolicy(context="in_network"), dtype)
            found = [
                error(OnDevice(one, backend, policy).outputs(unseen.examples))
                for one in (network, low)
            ]
            print(f"{backend.name} {dtype}: original {found[0]:.5f}, low rank {found[1]:.5f}")


if __name__ == "__main__":
    main(*sys.argv[1:])
