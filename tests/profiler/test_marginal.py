"""Layers among others, on an executor whose every run has a fixed cost: what has to drop out."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from rankwise.backends.base import ChainWorkload, FileWorkload, Workload
from rankwise.errors import BackendError, MeasurementError
from rankwise.lowrank import lower
from rankwise.ops.chain import random_weights
from rankwise.ops.reference import reference
from rankwise.profiler.marginal import COPIES, MarginalExecutor, between_neighbours, copies
from rankwise.profiler.session import SessionEnded
from rankwise.profiler.sweep import LayerTask, sweep
from rankwise.records import ORIGINAL, Candidate, Decomposition, Effort, LayerSpec

SQUARE = LayerSpec("conv2d", 64, 64, (64, 8, 8), (3, 3), padding=(1, 1, 1, 1), bias=False)
WIDER = LayerSpec("conv2d", 32, 64, (32, 8, 8), (3, 3), (2, 2), (1, 1, 1, 1))
LINEAR = LayerSpec("linear", 48, 48, (5, 48))
FIXED_S = 1e-3
EFFORT = Effort(min_rounds=4, max_rounds=6)


class Costly:
    """Every run costs `FIXED_S`, and every multiply-accumulate a nanosecond."""

    def __init__(self, flukes: int = 0) -> None:
        self.alive: dict[str, float] = {}
        self.flukes = flukes
        self.loops: list[int] = []

    def prepare(self, workload: Workload) -> None:
        assert isinstance(workload, ChainWorkload)
        self.alive[workload.key] = FIXED_S + workload.chain.macs * 1e-9

    def run(self, key: str, loops: int) -> Mapping[str, float]:
        self.loops.append(loops)
        if key.endswith("#1") and self.flukes:
            self.flukes -= 1
            return {"host": 1.0, "device": 1.0}
        return {"host": self.alive[key], "device": self.alive[key] / 2}

    def release(self, key: str) -> None:
        self.alive.pop(key, None)

    def renew(self) -> None:
        self.close()

    def close(self) -> None:
        self.alive.clear()


def test_the_fixed_cost_drops_out_where_a_layer_can_follow_itself() -> None:
    executor = MarginalExecutor(Costly())
    executor.prepare(ChainWorkload("k", lower(SQUARE, ORIGINAL)))
    times = executor.run("k", 60)
    assert times["host"] == pytest.approx(SQUARE.macs * 1e-9)
    assert times["device"] == pytest.approx(SQUARE.macs * 0.5e-9)
    assert times["host_one"] == pytest.approx(FIXED_S + SQUARE.macs * 1e-9)
    assert times["host_all"] == pytest.approx(FIXED_S + COPIES * SQUARE.macs * 1e-9)
    assert set(executor.executor.loops) == {10}  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("spec", "wanted"),
    [
        (SQUARE, {"k#1": ((0, 2),), "k#5": ((0, 2), (2, 4), (4, 6), (6, 8), (8, 10))}),
        (WIDER, {"k": ((1, 3),)}),
    ],
)
def test_what_stays_in_float32_does_so_in_each_copy(
    spec: LayerSpec, wanted: dict[str, tuple[tuple[int, int], ...]]
) -> None:
    """And its neighbours do not; each copy has conversions of its own."""
    seen = {}

    class Spy(Costly):
        def prepare(self, workload: Workload) -> None:
            super().prepare(workload)
            seen[workload.key] = workload.floats

    chain = lower(spec, Decomposition("channel_svd", (16,)))
    MarginalExecutor(Spy()).prepare(ChainWorkload("k", chain, floats=((0, 2),)))
    assert seen == wanted


def test_ratio_and_saving_are_the_layers_own() -> None:
    decomposition = Decomposition("channel_svd", (16,))
    task = LayerTask(SQUARE, (decomposition,))
    (ended,) = [
        event
        for event in sweep([task], MarginalExecutor(Costly()), Effort(preparations=1))
        if isinstance(event, SessionEnded)
    ]
    found = ended.summaries[Candidate(SQUARE, decomposition).key]
    chain = lower(SQUARE, decomposition)
    assert np.exp(found.log_ratio) == pytest.approx(SQUARE.macs / chain.macs)
    assert found.saving_s == pytest.approx((SQUARE.macs - chain.macs) * 0.5e-9)  # device


def test_between_neighbours_the_saving_is_right() -> None:
    decomposition = Decomposition("channel_svd", (16,))
    task = LayerTask(WIDER, (decomposition,))
    (ended,) = [
        event
        for event in sweep([task], MarginalExecutor(Costly()), Effort(preparations=1))
        if isinstance(event, SessionEnded)
    ]
    found = ended.summaries[Candidate(WIDER, decomposition).key]
    chain = lower(WIDER, decomposition)
    assert found.saving_s == pytest.approx((WIDER.macs - chain.macs) * 0.5e-9)  # device
    assert np.exp(found.log_ratio) < WIDER.macs / chain.macs


@pytest.mark.parametrize("spec", [SQUARE, LINEAR], ids=["conv", "linear"])
def test_copies_have_weights_of_their_own_and_keep_the_variance(spec: LayerSpec) -> None:
    chain = copies(lower(spec, ORIGINAL))
    weights = random_weights(chain)
    assert len(weights) == COPIES
    assert not np.array_equal(weights[0].weight, weights[1].weight)
    image = np.random.default_rng(0).standard_normal((2, *spec.input_shape), dtype=np.float32)
    output = reference(chain, weights, image)
    assert output.shape[1:] == spec.output_shape
    assert 0.2 < output.std() < 3  # padding takes a little from every copy


@pytest.mark.parametrize("spec", [WIDER, LayerSpec("linear", 48, 20, (48,))])
def test_neighbours_have_the_layers_own_widths(spec: LayerSpec) -> None:
    chain = between_neighbours(lower(spec, ORIGINAL))
    assert (chain.input_shape, chain.output_shape) == (spec.input_shape, spec.output_shape)
    assert len(chain.links) == 3


@pytest.mark.parametrize(("flukes", "fails"), [(2, False), (3, True)])
def test_one_disturbance_is_timed_again_and_a_rule_is_a_failure(flukes: int, fails: bool) -> None:
    executor = MarginalExecutor(Costly(flukes))
    executor.prepare(ChainWorkload("k", lower(SQUARE, ORIGINAL)))
    if fails:
        with pytest.raises(MeasurementError, match="no longer than one"):
            executor.run("k", 1)
    else:
        assert executor.run("k", 1)["host"] == pytest.approx(SQUARE.macs * 1e-9)


def test_everything_is_released() -> None:
    executor = MarginalExecutor(Costly())
    for spec, key in ((SQUARE, "a"), (WIDER, "b")):
        executor.prepare(ChainWorkload(key, lower(spec, ORIGINAL)))
        executor.release(key)
    assert not executor.executor.alive  # type: ignore[attr-defined]


def test_networks_are_refused() -> None:
    with pytest.raises(BackendError, match="single layers"):
        MarginalExecutor(Costly()).prepare(FileWorkload("f", Path("x.onnx"), (1, 3, 8, 8)))
