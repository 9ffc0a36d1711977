"""One ONNX Runtime session on one execution provider: made, checked, bound and timed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from ..errors import MeasurementError
from ..ops.made_up import InputSpec, all_made_up
from ..ops.quantized_writer import Boundary
from .base import Arrays
from .clocks import HostClock
from .network_file import in_file
from .validation import one_line

CPU = "CPUExecutionProvider"
SEVERITY_FATAL = 4
"""What ONNX Runtime has to say comes as an exception, too; on standard error nobody reads it."""
INPUT_TYPES = {
    "tensor(float)": "float32",
    "tensor(float16)": "float16",
    "tensor(double)": "float64",
    "tensor(int64)": "int64",
    "tensor(int32)": "int32",
    "tensor(int16)": "int16",
    "tensor(int8)": "int8",
    "tensor(uint8)": "uint8",
    "tensor(bool)": "bool",
}


@dataclass(frozen=True, slots=True)
class Place:
    """Where a session runs: provider, its options, and the device that holds its arrays."""

    provider: str
    options: Mapping[str, str] = field(default_factory=dict)
    memory: str = "cpu"
    """ONNX Runtime's name of the memory that inputs and outputs are bound in."""
    device_id: int = 0
    strict: bool = True
    """Refuse a session of which a part would run on the CPU provider."""
    memory_pattern: bool = True


def make_session(
    model: bytes | str, place: Place, threads: int, optimized: Path | None = None
) -> ort.InferenceSession:
    """A session whose every node runs on the place's provider. What ONNX Runtime has made of the
    model is written to the file `optimized`.

    `MeasurementError` (stage `prepare`) if ONNX Runtime refuses the model, if the provider
    did not start (ONNX Runtime then quietly takes the CPU), or if nodes would run on the CPU.
    """
    options = _options(place, threads)
    if optimized:
        options.optimized_model_filepath = str(optimized)
    try:
        session = ort.InferenceSession(
            model, options, providers=[(place.provider, dict(place.options))], enable_fallback=0
        )
    except Exception as error:  # ONNX Runtime's exceptions have no common root
        raise MeasurementError(_refusal(error, place), "prepare") from error
    require_provider(session.get_providers(), place.provider)
    return session


def _options(place: Place, threads: int) -> ort.SessionOptions:
    options = ort.SessionOptions()
    options.intra_op_num_threads = max(threads, 1)
    options.inter_op_num_threads = 1
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.log_severity_level = SEVERITY_FATAL
    options.enable_mem_pattern = place.memory_pattern
    # Idle pools of other prepared workloads would take the core from the one being timed.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    if place.provider != CPU and place.strict:
        options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
    return options


def _refusal(error: Exception, place: Place) -> str:
    reason = one_line(error)
    if "fallback to CPU EP has been explicitly disabled" in reason:
        return f"parts of it would run on the CPU, not on {place.provider}: not measured"
    return f"ONNX Runtime refused it: {reason}"


def require_provider(running: Sequence[str], wanted: str) -> None:
    """`MeasurementError` unless the session's first provider is the one that was asked for."""
    if not running or running[0] != wanted:
        found = ", ".join(running) or "no provider"
        raise MeasurementError(
            f"{wanted} did not start: the session fell back to {found}", "prepare"
        )


class OnnxRuntimeRunner:
    """A session whose inputs and outputs are bound once, on the provider's device.

    A plain `session.run` copies every output into a new array: up to 7% of the time of a
    layer with a large output, and the same for original and candidate, which hides gains.
    ONNX Runtime waits for the device before an execution returns.
    """

    def __init__(
        self,
        session: ort.InferenceSession,
        specs: Sequence[InputSpec],
        place: Place,
        boundary: Boundary | None = None,
    ) -> None:
        """`boundary`: how a session takes and gives arrays that are quantised."""
        self._session: ort.InferenceSession | None = session
        self._place, self._boundary = place, boundary
        types = {one.name: one.type for one in session.get_inputs()}
        inputs = in_file(list(types), specs)
        self._dtypes = {name: _input_dtype(types[name]) for name in inputs}
        self._outputs = [output.name for output in session.get_outputs()]
        try:
            made = dict(zip(inputs, all_made_up(inputs.values()), strict=True))
            self._binding = self._bound(
                session, {name: self._on_device(one) for name, one in self._typed(made).items()}
            )
        except Exception as error:
            reason = one_line(error)
            raise MeasurementError(f"ONNX Runtime cannot run it: {reason}", "prepare") from error

    def _typed(self, arrays: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        if self._boundary:
            return {name: self._boundary.encoded(array) for name, array in arrays.items()}
        return {name: array.astype(self._dtypes[name]) for name, array in arrays.items()}

    def _on_device(self, image: NDArray[Any]) -> ort.OrtValue:
        return ort.OrtValue.ortvalue_from_numpy(image, self._place.memory, self._place.device_id)

    def _bound(
        self, session: ort.InferenceSession, inputs: Mapping[str, ort.OrtValue]
    ) -> ort.IOBinding:
        """Sizes of outputs may depend on the input, so one execution has to tell them."""
        first, binding = session.io_binding(), session.io_binding()
        for one in (first, binding):
            for name, value in inputs.items():
                one.bind_ortvalue_input(name, value)
        for name in self._outputs:
            first.bind_output(name, self._place.memory, self._place.device_id)
        session.run_with_iobinding(first)
        for name, place in zip(self._outputs, first.get_outputs(), strict=True):
            binding.bind_ortvalue_output(name, place)
        return binding

    def run(self, loops: int) -> Mapping[str, float]:
        session, binding = self._open(), self._binding
        try:
            return HostClock().time(lambda: session.run_with_iobinding(binding), loops)
        except Exception as error:
            raise MeasurementError(f"ONNX Runtime failed: {one_line(error)}", "run") from error

    def compute(self, inputs: Sequence[NDArray[Any]]) -> Arrays:
        session = self._open()
        try:
            given = dict(zip(self._dtypes, inputs, strict=True))
            found = session.run(self._outputs, self._typed(given))
        except Exception as error:
            raise MeasurementError(f"ONNX Runtime failed: {one_line(error)}", "run") from error
        decoded = self._boundary.decoded if self._boundary else _single
        return [decoded(np.asarray(output)) for output in found]

    def close(self) -> None:
        self._session = self._binding = None

    def _open(self) -> ort.InferenceSession:
        if self._session is None:
            raise MeasurementError("the runner is closed", "run")
        return self._session


def _input_dtype(said: str) -> str:
    if said not in INPUT_TYPES:
        raise MeasurementError(f"its input is a {said}, which cannot be made up", "prepare")
    return INPUT_TYPES[said]


def _single(output: NDArray[Any]) -> NDArray[Any]:
    return output.astype(np.float32) if output.dtype == np.float16 else output
