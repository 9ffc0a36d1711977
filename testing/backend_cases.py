"""What backends are tried with: chains, policies; and what is asked of their answers."""

from __future__ import annotations

import math
import os
import random
import sys
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ..backends.base import Backend, FileWorkload, ModuleWorkload, Runner
from ..errors import BackendError, MeasurementError, RankwiseError
from ..ops.chain import Chain, random_weights
from ..records import LayerSpec, MeasurementPolicy

CHAINS: dict[str, Chain] = {
    "convolution": Chain((LayerSpec("conv2d", 6, 8, (6, 9, 7), (3, 3), padding=(1, 1, 1, 1)),)),
    "three links": Chain(
        (
            LayerSpec("conv2d", 6, 4, (6, 9, 8), bias=False),
            LayerSpec("conv2d", 4, 5, (4, 9, 8), (3, 3), (2, 2), (1, 1, 1, 1), bias=False),
            LayerSpec("conv2d", 5, 7, (5, 5, 4)),
        )
    ),
    "asymmetric padding": Chain(
        (LayerSpec("conv2d", 3, 4, (3, 8, 9), (3, 2), (2, 1), (0, 1, 2, 0)),)
    ),
    "dilation": Chain(
        (LayerSpec("conv2d", 3, 4, (3, 11, 12), (3, 3), dilation=(2, 3), bias=False),)
    ),
    "groups": Chain((LayerSpec("conv2d", 6, 4, (6, 7, 7), (3, 3), groups=2),)),
    "depthwise": Chain((LayerSpec("conv2d", 6, 6, (6, 7, 7), (3, 3), groups=6),)),
    "one axis": Chain(
        (
            LayerSpec("conv1d", 3, 4, (3, 17), (5,), (2,), (2, 1), (2,)),
            LayerSpec("conv1d", 4, 6, (4, 6), (3,), groups=2, bias=False),
        )
    ),
    "three axes": Chain(
        (
            LayerSpec("conv3d", 3, 4, (3, 5, 6, 7), (3, 1, 1), (2, 1, 1), (1, 0, 0, 1, 0, 0)),
            LayerSpec("conv3d", 4, 5, (4, 3, 6, 7), (1, 3, 2), padding=(0, 1, 0, 0, 1, 1)),
        )
    ),
    "transposed": Chain(
        (
            LayerSpec("conv2d", 6, 4, (6, 4, 5), bias=False),
            LayerSpec(
                "conv_transpose2d", 4, 6, (4, 4, 5), (3, 4), (2, 2), (1,) * 4, output_padding=(1, 0)
            ),
        )
    ),
    "transposed in groups": Chain(
        (LayerSpec("conv_transpose2d", 4, 6, (4, 4, 5), (3, 2), groups=2),)
    ),
    "transposed, cut off unequally": Chain(
        (LayerSpec("conv_transpose2d", 3, 4, (3, 5, 4), (3, 3), (2, 1), (1, 0, 0, 2)),)
    ),
    "transposed sequence": Chain(
        (LayerSpec("conv_transpose1d", 4, 3, (4, 7), (4,), (2,), (1, 1)),)
    ),
    "transposed volume": Chain(
        (LayerSpec("conv_transpose3d", 3, 2, (3, 3, 4, 3), (2, 3, 2), (2, 1, 2)),)
    ),
    "linear": Chain((LayerSpec("linear", 9, 4, (9,), bias=False), LayerSpec("linear", 4, 6, (4,)))),
    "linear of a sequence": Chain((LayerSpec("linear", 8, 5, (3, 8)),)),
}
"""Small, and every one with a trait that some writer or runtime could get wrong."""

NONSENSE = [
    {"phase": "nonsense"},
    {"context": "nonsense"},
    {"cache": "nonsense"},
    {"dtype": "nonsense"},
    {"numeric_mode": "nonsense"},
    {"execution": "nonsense"},
    {"threads": -1},
    {"batch": 0},
    {"frozen": "nonsense"},
    {"phase": "training", "frozen": "nonsense"},
]

OPTIONAL = [
    {"phase": "training"},
    {"phase": "training", "frozen": "first"},
    {"cache": "cold"},
    {"dtype": "float16"},
    {"dtype": "bfloat16"},
    {"dtype": "int8"},
    {"execution": "graph"},
    {"context": "in_network"},
]
"""What a backend may do or refuse, but not half."""

TOLERANCES = {"float16": 1e-2, "bfloat16": 4e-2, "int8": 6e-2}
"""Largest error of a computed output, relative to the output's largest value, by dtype."""


def changed(policy: MeasurementPolicy, change: Mapping[str, Any]) -> MeasurementPolicy:
    """A resolved policy's numeric mode belongs to its dtype: another one has its own."""
    if "dtype" in change:
        return replace(policy, numeric_mode="default", **change)
    return replace(policy, **change)


def with_two_threads(backend: Backend, policy: MeasurementPolicy) -> MeasurementPolicy:
    """Another number of threads than the process has, where the backend can do that."""
    try:
        return backend.resolve_policy(replace(policy, threads=2)) if policy.threads else policy
    except BackendError:
        return policy


def require_timings(runner: Runner) -> None:
    """Positive seconds on every clock, and the same clocks whatever the number of loops."""
    timings = [runner.run(loops) for loops in (1, 3, 1)]
    assert all(timings), "there is no clock"
    assert len({frozenset(one) for one in timings}) == 1, f"clocks come and go: {timings}"
    for seconds in (value for one in timings for value in one.values()):
        assert isinstance(seconds, float)
        assert math.isfinite(seconds)
        assert seconds > 0


def require_sentence(error: RankwiseError) -> None:
    text = str(error)
    assert text.strip(), "an error without words"
    assert "\n" not in text, f"not one sentence: {text!r}"


def require_refusal(backend: Backend, workload: Any, policy: MeasurementPolicy) -> None:
    """By `prepare`, or at the latest by the first `run`; in one sentence."""
    refusals = BackendError, MeasurementError
    with pytest.raises(refusals) as caught, closing(backend.prepare(workload, policy)) as runner:
        runner.run(1)
    require_sentence(caught.value)


def networks(
    backend: Backend, chain: Chain, folder: Path
) -> Sequence[FileWorkload | ModuleWorkload]:
    """The chain as a network in each form that the backend takes."""
    weights, shape = random_weights(chain), (1, *chain.input_shape)
    workloads: list[FileWorkload | ModuleWorkload] = []
    if FileWorkload in backend.accepts:
        from ..ops.onnx_writer import chain_model

        path = folder / "network.onnx"
        path.write_bytes(chain_model(chain, weights, 1).SerializeToString())
        workloads.append(FileWorkload("file", path, shape))
    if ModuleWorkload in backend.accepts:
        from ..ops.torch_writer import to_torch

        workloads.append(ModuleWorkload("module", to_torch(chain, weights), shape))
    return workloads


def environment() -> Mapping[str, Any]:
    """What a backend may change while it runs, and has to put back."""
    torch: Any = sys.modules.get("torch")
    return {
        "environment": dict(os.environ),
        "folder": str(Path.cwd()),
        "files": sorted(path.name for path in Path.cwd().iterdir()),
        "affinity": os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else None,
        "random": random.getstate(),
        "numpy": np.random.get_state()[1].tobytes(),  # type: ignore[index]
        "threads": torch.get_num_threads() if torch else None,
        "torch": torch.get_rng_state().tolist() if torch else None,
        "gradients": torch.is_grad_enabled() if torch else None,
    }
