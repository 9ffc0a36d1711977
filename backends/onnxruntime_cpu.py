"""ONNX Runtime on the processor."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from ..errors import BackendError, MeasurementError
from ..ops.chain import random_weights
from ..ops.onnx_writer import chain_model
from ..records import DeviceFingerprint, MeasurementPolicy
from .base import Arrays, ChainWorkload, FileWorkload, Workload, random_input
from .host import cpu_hardware, host_circumstances
from .limits import one_line, require_supported

PROVIDERS = ["CPUExecutionProvider"]
SEVERITY_ERROR = 3
ALLOWED = {
    "phase": ("inference",),
    "context": ("isolated", "marginal", "in_network"),
    "cache": ("hot",),
    "dtype": ("float32",),
    "numeric_mode": ("default",),
    "execution": ("eager", "graph"),
}


class OnnxRuntimeCpuBackend:
    """Runs ONNX models: chains built with `onnx.helper`, and network files."""

    name = "onnxruntime-cpu"
    accepts: tuple[type, ...] = (ChainWorkload, FileWorkload)

    def probe(self) -> str:
        return ""

    def fingerprint(self) -> DeviceFingerprint:
        software = {"onnxruntime": ort.__version__}
        return DeviceFingerprint.of(self.name, cpu_hardware(), software)

    def circumstances(self) -> dict[str, str]:
        return host_circumstances()

    def resolve_policy(self, policy: MeasurementPolicy) -> MeasurementPolicy:
        require_supported(self.name, policy, ALLOWED)
        return replace(policy, execution="graph")

    def rank_quantum(self, policy: MeasurementPolicy) -> int:
        """MLAS works on blocks of 16 channels where there is AVX-512 (16 floats)."""
        return 16

    def prepare(self, workload: Workload, policy: MeasurementPolicy) -> _Runner:
        if isinstance(workload, ChainWorkload):
            model = chain_model(workload.chain, random_weights(workload.chain), policy.batch)
            shape = (policy.batch, *workload.chain.input_shape)
            return _Runner(_session(model.SerializeToString(), policy.threads), shape)
        if isinstance(workload, FileWorkload):
            session = _session(str(workload.path), policy.threads)
            return _Runner(session, workload.input_shape)
        raise BackendError(f"{self.name} runs ONNX, not a {type(workload).__name__}")


def _session(model: bytes | str, threads: int) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.log_severity_level = SEVERITY_ERROR
    # Idle pools of other prepared workloads would take the core from the one being timed.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        return ort.InferenceSession(model, options, providers=PROVIDERS)
    except Exception as error:  # ONNX Runtime's exceptions have no common root
        raise MeasurementError(f"ONNX Runtime refused it: {one_line(error)}", "prepare") from error


class _Runner:
    """A session whose input and outputs are bound once, where the runtime allocated them.

    A plain `session.run` copies every output into a new array: up to 7% of the time of a
    layer with a large output, and the same for original and candidate, which hides gains.
    """

    def __init__(self, session: ort.InferenceSession, input_shape: Sequence[int]) -> None:
        self._session: ort.InferenceSession | None = session
        self._input = _only_input(session)
        self._outputs = [output.name for output in session.get_outputs()]
        image = ort.OrtValue.ortvalue_from_numpy(random_input(input_shape))
        try:
            self._binding = self._bound(session, image)
        except Exception as error:
            reason = one_line(error)
            raise MeasurementError(f"ONNX Runtime cannot run it: {reason}", "prepare") from error

    def _bound(self, session: ort.InferenceSession, image: ort.OrtValue) -> ort.IOBinding:
        """Sizes of outputs may depend on the input, so one execution has to tell them."""
        first, binding = session.io_binding(), session.io_binding()
        for one in (first, binding):
            one.bind_ortvalue_input(self._input, image)
        for name in self._outputs:
            first.bind_output(name, "cpu")
        session.run_with_iobinding(first)
        for name, place in zip(self._outputs, first.get_outputs(), strict=True):
            binding.bind_ortvalue_output(name, place)
        return binding

    def run(self, loops: int) -> Mapping[str, float]:
        session, binding = self._open(), self._binding
        try:
            start = time.perf_counter_ns()
            for _ in range(loops):
                session.run_with_iobinding(binding)
            elapsed = time.perf_counter_ns() - start
        except Exception as error:
            raise MeasurementError(f"ONNX Runtime failed: {one_line(error)}", "run") from error
        return {"host": elapsed * 1e-9 / loops}

    def compute(self, inputs: Sequence[NDArray[Any]]) -> Arrays:
        try:
            found = self._open().run(self._outputs, {self._input: inputs[0]})
        except MeasurementError:
            raise
        except Exception as error:
            raise MeasurementError(f"ONNX Runtime failed: {one_line(error)}", "run") from error
        return [np.asarray(output) for output in found]

    def close(self) -> None:
        self._session = self._binding = None

    def _open(self) -> ort.InferenceSession:
        if self._session is None:
            raise MeasurementError("the runner is closed", "run")
        return self._session


def _only_input(session: ort.InferenceSession) -> str:
    names = [one.name for one in session.get_inputs()]
    if len(names) != 1:
        found = ", ".join(names) or "none"
        raise MeasurementError(f"a network needs exactly one input, this has {found}", "prepare")
    return str(names[0])
