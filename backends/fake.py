"""A device whose times are arithmetic: for tests, and for trying rankwise without a device.

The time of one execution is a launch cost for each link (convolution, linear layer, matrix
product) and its multiply-accumulates at a fixed rate, after all channel counts are rounded up
to the next multiple of `step`: a planted staircase, with steps of `step` ranks. In int8 it
multiplies twice as fast, and a stretch of links in float32 costs a launch more; in bfloat16, to
which it rounds what goes in and comes out, 1.5 times as fast. Nothing sleeps (but for
`takes_ms`); with `jitter=0` times are exact, and a network's is the sum over its links.
"""

from __future__ import annotations

import math
import os
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from copy import copy
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import BackendError, MeasurementError
from ..ops.chain import Chain, random_weights
from ..records import DeviceFingerprint, LayerSpec, MeasurementPolicy
from .base import Arrays, ChainWorkload, FileWorkload, ModuleWorkload, Workload
from .boards import board_id
from .mac_counter import Operator, operators_in_file, operators_in_module
from .validation import one_line, require_supported, whole_number

VERSION = "1"
ALLOWED = {
    "phase": ("inference",),
    "frozen": ("",),
    # Times add up and there is no cache, so contexts and cache states do not differ.
    "context": ("isolated", "marginal", "in_network"),
    "cache": ("hot", "cold"),
    "dtype": ("float32", "bfloat16", "int8"),
    "numeric_mode": ("default",),
    "execution": ("eager",),
}

INT8_SPEED, BFLOAT16_SPEED = 2, 1.5

Compute = Callable[[Sequence[NDArray[Any]]], Arrays]


class FakeBackend:
    """Options (all as text, since they come from the command line):

    `step` channels a step, `launch_us` microseconds a link, `gmacs` 10^9 multiply-accumulates
    a second, `jitter` standard deviation of the log of a log-normal factor on every timing,
    `seed`; `board` names the board, whose times are all `slow` times as long as its kind's. For
    testing what surrounds a backend: `crash_at`, `hang_at` (the n-th timing kills
    the process, or never returns), `garbage=1` (prints rubbish on standard output),
    `takes_ms` (a timing really takes so long).
    """

    name = "fake"
    accepts: tuple[type, ...] = (ChainWorkload, FileWorkload, ModuleWorkload)

    def __init__(
        self,
        step: str = "16",
        launch_us: str = "5",
        gmacs: str = "50",
        jitter: str = "0",
        seed: str = "0",
        board: str = "",
        slow: str = "1",
        crash_at: str = "0",
        hang_at: str = "0",
        garbage: str = "0",
        takes_ms: str = "0",
    ) -> None:
        self.step, self.launch_s = whole_number("step", step), _real("launch_us", launch_us) * 1e-6
        self.macs_per_s, self.jitter = _real("gmacs", gmacs) * 1e9, _real("jitter", jitter)
        _require_sound(self.step, self.launch_s, self.macs_per_s, self.jitter)
        self.hardware = {
            "chip": "fake",
            "step": self.step,
            "launch_us": float(launch_us),
            "gmacs": float(gmacs),
            "jitter": self.jitter,
        }
        self.rng = np.random.default_rng(whole_number("seed", seed))
        self._board, self.slow = board, _real("slow", slow)
        if not 0 < self.slow < math.inf:
            raise ValueError("slow must be more than 0")
        self.crash_at = whole_number("crash_at", crash_at)
        self.hang_at = whole_number("hang_at", hang_at)
        self.garbage = garbage != "0"
        self.takes_s = _real("takes_ms", takes_ms) * 1e-3
        self.timings = 0

    def probe(self) -> str:
        return ""

    def fingerprint(self) -> DeviceFingerprint:
        return DeviceFingerprint.of(self.name, self.hardware, {"fake": VERSION})

    def board(self) -> str | None:
        return board_id(self.name, self._board)

    def run_metadata(self) -> dict[str, str]:
        return {"clock": "arithmetic"}

    def resolve_policy(self, policy: MeasurementPolicy) -> MeasurementPolicy:
        require_supported(self.name, policy, ALLOWED)
        return replace(policy, execution="eager")

    def rank_quantum(self, _policy: MeasurementPolicy) -> int:
        return self.step

    def prepare(self, workload: Workload, policy: MeasurementPolicy) -> _Runner:
        if policy.dtype == "bfloat16":
            return self._in_bfloat16(workload, policy)
        match workload:
            case ChainWorkload(_, chain):
                seconds = self._chain_seconds(workload, policy)
                return _Runner(self, seconds, lambda inputs: _compute_chain(chain, inputs))
            case FileWorkload(_, path):
                seconds = self._file_seconds(operators_in_file(path, workload.specs))
                return _Runner(self, seconds, lambda inputs: _reference(str(path), inputs))
            case ModuleWorkload(_, module):
                seconds = self.seconds(operators_in_module(module, workload.specs))
                return _Runner(self, seconds, lambda inputs: _compute_module(module, inputs))
        raise BackendError(f"the fake device does not run a {type(workload).__name__}")

    def _in_bfloat16(self, workload: Workload, policy: MeasurementPolicy) -> _Runner:
        faster = copy(self)
        faster.macs_per_s = BFLOAT16_SPEED * self.macs_per_s
        made = faster.prepare(workload, replace(policy, dtype="float32"))
        return _Runner(self, made.seconds, lambda given: _rounded(made.compute(_rounded(given))))

    def seconds(self, links: Iterable[LayerSpec | Operator], batch: int = 1) -> float:
        """Exact time of one execution: every link is launched once for the whole batch."""
        return math.fsum(
            self.launch_s + batch * self._macs(link) / self.macs_per_s for link in links
        )

    def _chain_seconds(self, workload: ChainWorkload, policy: MeasurementPolicy) -> float:
        """In int8 the links outside of the stretches in float32 are faster."""
        whole = self.seconds(workload.chain.links, policy.batch)
        if policy.dtype != "int8":
            return whole
        in_float = {number for stretch in workload.floats for number in range(*stretch)}
        pairs = enumerate(workload.chain.links)
        fast = [link for number, link in pairs if number not in in_float]
        computing = self.seconds(fast, policy.batch) - self.launch_s * len(fast)
        conversions = self.launch_s * len(workload.floats)
        return whole - computing * (1 - 1 / INT8_SPEED) + conversions

    def _file_seconds(self, operators: Sequence[Operator]) -> float:
        """Operators with quantised weights are faster: a file in int8 brings its types along."""
        fast = [one for one in operators if one.integers]
        computing = self.seconds(fast) - self.launch_s * len(fast)
        return self.seconds(operators) - computing * (1 - 1 / INT8_SPEED)

    def _macs(self, link: LayerSpec | Operator) -> float:
        """Multiply-accumulates as if channels came in blocks of `step` only."""
        full = self._blocks(link.in_channels) * self._blocks(link.out_channels)
        return link.macs * full / (link.in_channels * link.out_channels)

    def _blocks(self, channels: int) -> int:
        return math.ceil(channels / self.step) * self.step

    def timing(self, seconds: float) -> float:
        """One reading of the clock, with the mishaps that were ordered."""
        self.timings += 1
        if self.takes_s:
            time.sleep(self.takes_s)
        if self.garbage:
            print("\x00 rubbish { not json", flush=True)
            print("more rubbish", file=sys.stderr, flush=True)
        if self.timings == self.crash_at:
            os.abort()
        while self.timings == self.hang_at:
            time.sleep(60)
        return self.slow * seconds * math.exp(self.jitter * float(self.rng.standard_normal()))


def _real(option: str, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"{option} must be a number, not {text!r}") from None


def _require_sound(step: int, launch_s: float, macs_per_s: float, jitter: float) -> None:
    if not (step >= 1 and 0 < launch_s < math.inf and 0 < macs_per_s < math.inf):
        raise ValueError("step, launch_us and gmacs must be more than 0")
    if not 0 <= jitter < math.inf:
        raise ValueError("jitter must not be below 0")


class _Runner:
    def __init__(self, backend: FakeBackend, seconds: float, compute: Compute) -> None:
        self._backend: FakeBackend | None = backend
        self.seconds, self._compute = seconds, compute

    def run(self, _loops: int) -> Mapping[str, float]:
        return {"host": self._open().timing(self.seconds)}

    def compute(self, inputs: Sequence[NDArray[Any]]) -> Arrays:
        self._open()
        return self._compute(inputs)

    def close(self) -> None:
        self._backend = None

    def _open(self) -> FakeBackend:
        if self._backend is None:
            raise MeasurementError("the runner is closed", "run")
        return self._backend


def _rounded(arrays: Sequence[NDArray[Any]]) -> Arrays:
    """Floating numbers as bfloat16 has them: the upper half of a float32, rounded to even."""
    return [_as_bfloat16(one) if one.dtype.kind == "f" else one for one in arrays]


def _as_bfloat16(array: NDArray[Any]) -> NDArray[np.float32]:
    bits = np.ascontiguousarray(array, np.float32).view(np.uint32)
    return ((bits + 0x7FFF + (bits >> 16 & 1)) & np.uint32(0xFFFF0000)).view(np.float32)


def _compute_chain(chain: Chain, inputs: Sequence[NDArray[Any]]) -> Arrays:
    from ..ops.reference import reference

    outputs = reference(chain, random_weights(chain), inputs[0])
    return [outputs.astype(np.float32)]


def _reference(model: str, inputs: Sequence[NDArray[Any]]) -> Arrays:
    """By the reference implementation that comes with ONNX: slow, and shared with nobody."""
    from onnx.reference import ReferenceEvaluator

    try:
        evaluator = ReferenceEvaluator(model)
        found = evaluator.run(None, dict(zip(evaluator.input_names, inputs, strict=False)))
    except Exception as error:  # NumPy's, as the operator happens to be written
        raise MeasurementError(f"ONNX's reference failed: {one_line(error)}", "run") from error
    return [np.asarray(output) for output in found]


def _compute_module(module: Any, inputs: Sequence[NDArray[Any]]) -> Arrays:
    from .modules import compute

    return compute(module, inputs)
