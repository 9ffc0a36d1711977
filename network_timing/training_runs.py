"""Whole training steps against the original's: interleaved, over several processes, all kept."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from .. import stats
from ..backends import malloc_env
from ..backends.base import TrainsNetworks
from ..campaign.setup import Setup
from ..db import NetworkRun, Store
from ..errors import MeasurementError
from ..models.notes import asked_of
from ..records import Comparison, Decomposition, PairSummary, Sample
from .inference_runs import can_time

PROCESSES, ROUNDS = 3, 12


@dataclass(frozen=True, slots=True)
class Variant:
    """A decomposed network as a training step sees it. `frozen`: see `training.freezing`."""

    decisions: Mapping[str, Decomposition]
    frozen: int | None = None

    def to_json(self) -> dict[str, Any]:
        made = {name: d.to_json() for name, d in self.decisions.items()}
        return {"decisions": made, "frozen": self.frozen}


def can_train(setup: Setup) -> str:
    """Empty if training steps of this network can be timed here; else why not, in one phrase."""
    if not setup.backend.accepts:
        return setup.backend.probe()
    if not isinstance(setup.backend, TrainsNetworks):
        return f"{setup.backend.name} cannot train a network whole"
    if setup.network.framework == "onnx":
        return can_time(setup)
    return ""


def compare_training(
    setup: Setup,
    store: Store,
    others: Mapping[str, Variant],
    descriptions: Mapping[str, dict[str, object]],
    *,
    processes: int = PROCESSES,
    rounds: int = ROUNDS,
    told: Callable[[int, int], None] = lambda _done, _all: None,
) -> dict[str, Comparison]:
    """Time a training step of each of `others` (by key) against the original's, paired.

    Every process prepares everything anew; raw samples go into the store under the training
    policy. The network is loaded by its source in each process. `told` is called with how many
    processes are done, of how many, before each. Raises `MeasurementError` if one
    of the steps cannot be run.
    """
    if not others:
        return {}
    summaries: dict[str, list[PairSummary]] = {key: [] for key in others}
    for number in range(processes):
        told(number, processes)
        request = _request(setup, others, rounds, seed=number)
        for key, summary in _session(setup, store, request, descriptions).items():
            summaries[key].append(summary)
    # A fixed number of rounds: nobody looked, so no error rate was spent.
    return {key: stats.combine(found, spent=0.0) for key, found in summaries.items()}


def _request(setup: Setup, others: Mapping[str, Variant], rounds: int, seed: int) -> dict[str, Any]:
    assert isinstance(setup.backend, TrainsNetworks), "see `can_train`"
    original = {setup.original_key: Variant({})}
    return {
        "source": setup.network.source,
        "weights": None if setup.weights is None else str(setup.weights),
        "inputs": asked_of(setup.model),
        "threads": max(1, setup.policy.threads),
        "device": setup.backend.torch_device(),
        "dtype": setup.policy.dtype,
        "rounds": rounds,
        "seed": seed,
        "variants": {key: one.to_json() for key, one in {**original, **others}.items()},
    }


def _session(
    setup: Setup,
    store: Store,
    request: Mapping[str, Any],
    descriptions: Mapping[str, dict[str, object]],
) -> dict[str, PairSummary]:
    original, *others = request["variants"]
    runs = {key: NetworkRun(key, dict(descriptions.get(key, {}))) for key in request["variants"]}
    session = store.sessions.begin(
        setup.fingerprint,
        setup.network_policy,
        runs[original],
        [runs[key] for key in others],
        setup.backend.run_metadata(),
        setup.board,
    )
    seconds: dict[str, list[float]] = {key: [] for key in request["variants"]}
    for found in timed_rounds(request):
        samples = [
            Sample(found["round"], key, "host", value, found["loops"][key])
            for key, value in found["seconds"].items()
        ]
        store.sessions.add_round(session, samples)
        for key, value in found["seconds"].items():
            seconds[key].append(value)
    first = np.array(seconds[original])
    summaries = {key: stats.summarize_pairs(first, np.array(seconds[key])) for key in others}
    store.sessions.end(session, summaries)
    return summaries


def timed_rounds(request: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The rounds of one fresh process, as they come. Raises `MeasurementError` if it fails."""
    reading, writing = os.pipe()
    command = [sys.executable, "-P", "-m", "rankwise.network_timing.training_worker", str(writing)]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, pass_fds=(writing,), env=malloc_env.keeping(os.environ)
    )
    os.close(writing)
    assert process.stdin is not None
    try:
        with process.stdin as words:
            words.write(json.dumps(request).encode())
        with os.fdopen(reading, encoding="utf-8") as lines:
            for line in lines:
                found = json.loads(line)
                if "error" in found:
                    raise MeasurementError(found["error"])
                yield found
        if process.wait() != 0:
            raise MeasurementError("the process that times training steps died", "crash")
    finally:
        process.kill()
        process.wait()
