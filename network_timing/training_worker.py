"""One process that times training steps, or forward passes, of whole networks.

`python -m rankwise.network_timing.training_worker DESCRIPTOR`

Reads one JSON request on standard input, writes one JSON line a round to the descriptor named on
the command line: `{"round": 0, "seconds": {key: ...}}`, or `{"error": ...}`. Networks are loaded
by name and their chains get random weights: times do not depend on the weights' values.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from ..errors import RankwiseError
from ..records import Decomposition

ROUND_S = 0.1
"""A timing lasts about this long at least."""
WARM_UP_STEPS = 2


def rounds(request: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Times of every variant, in random order within each round."""
    import numpy as np
    import torch

    torch.set_num_threads(request["threads"])
    steps = variants(request)
    loops = {key: _loops(step.run) for key, step in steps.items()}
    rng, keys = np.random.default_rng(request["seed"]), list(steps)
    for number in range(request["rounds"]):
        order = [keys[index] for index in rng.permutation(len(keys))]
        seconds = {key: steps[key].run(loops[key]) for key in order}
        yield {"round": number, "seconds": seconds, "loops": loops}


def _loops(run: Callable[[int], float]) -> int:
    for _ in range(WARM_UP_STEPS):
        seconds = run(1)
    return max(1, round(ROUND_S / seconds))


def variants(request: Mapping[str, Any]) -> dict[str, Any]:
    """What is timed for each of the request's variants, by key.

    A variant is `{"decisions": {layer: decomposition}, "frozen": null | 0 | 1}`; the request's
    `phase` is training unless it says inference.
    """
    from ..lowrank import lower
    from ..models.source import load_network
    from ..ops.chain import random_weights
    from ..training.pair import pair_of
    from ..training.steps import ForwardPass, TrainingPass

    network = load_network(request["source"], weights=request["weights"], **request["inputs"])
    specs = {use.name: use.spec for use in network.layers}
    made: dict[str, Any] = {}
    for key, variant in request["variants"].items():
        chains = {}
        for name, document in variant["decisions"].items():
            spec = specs[name]
            assert spec is not None
            chain = lower(spec, Decomposition.from_json(document))
            chains[name] = (chain, random_weights(chain))
        pair = pair_of(network, chains)
        takes, where = network.inputs, (request["device"], request["dtype"])
        made[key] = (
            ForwardPass(pair.student, takes, *where)
            if request.get("phase") == "inference"
            else TrainingPass(pair.student, takes, pair.chains, variant.get("frozen"), *where)
        )
    return made


def main(arguments: list[str]) -> None:
    with os.fdopen(int(arguments[0]), "w", encoding="utf-8") as replies:
        os.dup2(2, 1)  # what libraries print is no answer
        try:
            for timed in rounds(json.load(sys.stdin)):
                replies.write(json.dumps(timed) + "\n")
                replies.flush()
        except RankwiseError as error:
            replies.write(json.dumps({"error": str(error)}) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
