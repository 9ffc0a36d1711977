"""A device whose times are arithmetic: for tests, and for trying rankwise without a device.

The time of one execution is a launch cost for each link and its multiply-accumulates at a
fixed rate, after all channel counts are rounded up to the next multiple of `step`: a planted
staircase, with treads of `step` ranks. Nothing sleeps; with `jitter=0` times are exact.
"""

from __future__ import annotations

import math
import os
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import BackendError, MeasurementError
from ..ops.chain import Chain, random_weights
from ..records import DeviceFingerprint, LayerSpec, MeasurementPolicy
from .base import Arrays, ChainWorkload, FileWorkload, Workload
from .limits import require_supported

VERSION = "1"
ALLOWED = {"phase": ("inference",), "dtype": ("float32",), "execution": ("eager",)}


class FakeBackend:
    """Options (all as text, since they come from the command line):

    `step` channels a tread, `launch_us` microseconds a link, `gmacs` 10^9 multiply-accumulates
    a second, `jitter` standard deviation of the log of a log-normal factor on every timing,
    `seed`. For testing what surrounds a backend: `crash_at`, `hang_at` (the n-th timing kills
    the process, or never returns), `garbage=1` (prints rubbish on standard output).
    """

    name = "fake"
    accepts: tuple[type, ...] = (ChainWorkload, FileWorkload)

    def __init__(
        self,
        step: str = "16",
        launch_us: str = "5",
        gmacs: str = "50",
        jitter: str = "0",
        seed: str = "0",
        crash_at: str = "0",
        hang_at: str = "0",
        garbage: str = "0",
    ) -> None:
        self.step, self.launch_s = int(step), float(launch_us) * 1e-6
        self.macs_per_s, self.jitter = float(gmacs) * 1e9, float(jitter)
        if self.step < 1 or self.launch_s <= 0 or self.macs_per_s <= 0 or self.jitter < 0:
            raise ValueError("step, launch_us and gmacs must be more than 0, jitter not below it")
        self.hardware = {
            "chip": "fake",
            "step": self.step,
            "launch_us": float(launch_us),
            "gmacs": float(gmacs),
            "jitter": self.jitter,
        }
        self.rng = np.random.default_rng(int(seed))
        self.crash_at, self.hang_at, self.garbage = int(crash_at), int(hang_at), garbage != "0"
        self.timings = 0

    def probe(self) -> str:
        return ""

    def fingerprint(self) -> DeviceFingerprint:
        return DeviceFingerprint.of(self.name, self.hardware, {"fake": VERSION})

    def circumstances(self) -> dict[str, str]:
        return {"clock": "arithmetic"}

    def resolve_policy(self, policy: MeasurementPolicy) -> MeasurementPolicy:
        require_supported(self.name, policy, ALLOWED)
        return replace(policy, execution="eager")

    def rank_quantum(self, policy: MeasurementPolicy) -> int:
        return self.step

    def prepare(self, workload: Workload, policy: MeasurementPolicy) -> _Runner:
        if isinstance(workload, ChainWorkload):
            links: Iterable[LayerSpec] = workload.chain.links
            seconds = policy.batch * self.seconds(links)
            return _Runner(self, seconds, workload.chain)
        if isinstance(workload, FileWorkload):
            from .onnx_links import links_of_file

            return _Runner(self, self.seconds(links_of_file(workload.path, workload.input_shape)))
        raise BackendError("the fake device runs chains and ONNX files")

    def seconds(self, links: Iterable[LayerSpec]) -> float:
        """Exact time of one execution for a batch of one."""
        return sum(self.launch_s + self._macs(link) / self.macs_per_s for link in links)

    def _macs(self, link: LayerSpec) -> int:
        """Multiply-accumulates as if channels came in blocks of `step` only."""
        return (
            link.macs
            * self._blocks(link.in_channels)
            * self._blocks(link.out_channels)
            // (link.in_channels * link.out_channels)
        )

    def _blocks(self, channels: int) -> int:
        return math.ceil(channels / self.step) * self.step

    def timing(self, seconds: float) -> float:
        """One reading of the clock, with the mishaps that were ordered."""
        self.timings += 1
        if self.garbage:
            print("\x00 rubbish { not json", flush=True)
            print("more rubbish", file=sys.stderr, flush=True)
        if self.timings == self.crash_at:
            os.abort()
        while self.timings == self.hang_at:
            time.sleep(60)
        return seconds * math.exp(self.jitter * float(self.rng.standard_normal()))


class _Runner:
    def __init__(self, backend: FakeBackend, seconds: float, chain: Chain | None = None) -> None:
        self._backend: FakeBackend | None = backend
        self._seconds, self._chain = seconds, chain

    def run(self, loops: int) -> Mapping[str, float]:
        if self._backend is None:
            raise MeasurementError("the runner is closed", "run")
        return {"host": self._backend.timing(self._seconds)}

    def compute(self, inputs: Sequence[NDArray[Any]]) -> Arrays:
        """By the reference implementation that comes with ONNX."""
        from onnx.reference import ReferenceEvaluator

        from ..ops.onnx_writer import INPUT, chain_model

        if self._chain is None:
            raise MeasurementError("only chains can be computed", "run")
        model = chain_model(self._chain, random_weights(self._chain), len(inputs[0]))
        found = ReferenceEvaluator(model).run(None, {INPUT: inputs[0]})
        return [np.asarray(output) for output in found]

    def close(self) -> None:
        self._backend = None
