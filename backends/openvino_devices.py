"""OpenVINO: the processor, and every other device that its runtime lists.

The package `openvino` is in the extra of that name, and is only imported when it is needed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache, partial
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..errors import BackendError, MeasurementError
from ..ops.chain import random_weights
from ..ops.made_up import InputSpec, all_made_up
from ..ops.quantized_writer import Boundary, quantized_model
from ..records import DeviceFingerprint, MeasurementPolicy
from .base import Arrays, ChainWorkload, FileWorkload, Workload, chain_inputs
from .boards import host_board, place_on_host
from .clocks import HostClock
from .host import cpu_hardware, host_run_metadata
from .integer_kernels import require_integers
from .network_file import in_file
from .onnx_dtypes import chain_in
from .validation import INFERENCE_ONLY, checked_policy, one_line

if TYPE_CHECKING:
    import openvino

HINTS = {"float32": "f32", "float16": "f16", "bfloat16": "bf16", "int8": "f32"}
"""In int8 the network itself says what is quantised; the rest of it is float32."""
CAPABILITIES = {"float32": "FP32", "float16": "FP16", "bfloat16": "BF16", "int8": "INT8"}
MULTIPLY = ("Convolution", "Deconvolution", "FullyConnected", "MatMul", "GroupConvolution")
"""Types of a compiled model's nodes that multiply with weights."""
INTEGERS = ("u8", "i8")
ALLOWED = {**INFERENCE_ONLY, "numeric_mode": ("default",), "execution": ("eager", "graph")}


@lru_cache
def _core() -> openvino.Core:
    """One for the process: it holds the plugins that it has loaded."""
    import openvino

    return openvino.Core()


def found_names() -> list[str]:
    """Backends of the devices that the runtime lists (`GPU.1` is `openvino-gpu.1`)."""
    if find_spec("openvino") is None:
        return []
    return [f"openvino-{name.lower()}" for name in _core().available_devices]


def named(slug: str) -> Callable[..., OpenVinoBackend]:
    """What opens `openvino-<slug>`: `cpu`, `gpu`, `gpu.1`, `npu` ..."""
    return partial(OpenVinoBackend, slug.upper())


class OpenVinoBackend:
    """Runs ONNX models: chains built with `onnx.helper`, and network files.

    Precision is given to the runtime, which converts weights by itself. Left alone it would
    compute float32 networks in bfloat16 on processors that have it; so float32 is asked for.
    """

    accepts: tuple[type, ...] = (ChainWorkload, FileWorkload)

    def __init__(self, device: str) -> None:
        self.name, self.device = f"openvino-{device.lower()}", device
        self.has_threads = device == "CPU"

    def probe(self) -> str:
        if find_spec("openvino") is None:
            return "the package openvino is missing: pip install 'rankwise[openvino]'"
        try:
            found = _core().available_devices
        except Exception as error:  # a plugin that cannot be loaded
            return f"OpenVINO does not start: {one_line(error)}"
        numbered = (name.partition(".")[0] for name in found)
        if self.device not in (*found, *numbered):
            return f"OpenVINO lists no {self.device} here, only {', '.join(found) or 'nothing'}"
        return ""

    def fingerprint(self) -> DeviceFingerprint:
        import openvino

        hardware = cpu_hardware()
        if not self.has_threads:
            hardware = {"host_chip": hardware["chip"], "chip": self._property("FULL_DEVICE_NAME")}
            for name in ("GPU_DEVICE_TOTAL_MEM_SIZE", "GPU_EXECUTION_UNITS_COUNT"):
                hardware[name.lower()] = self._property(name)
        software = {"openvino": openvino.get_version()}
        return DeviceFingerprint.of(self.name, hardware, software)

    def _property(self, name: str) -> str:
        try:
            return str(_core().get_property(self.device, name)) or "unknown"
        except Exception:  # not every plugin has every property
            return "unknown"

    def board(self) -> str | None:
        return host_board() if self.has_threads else place_on_host("openvino", self.device)

    def run_metadata(self) -> dict[str, str]:
        return host_run_metadata()

    def resolve_policy(self, policy: MeasurementPolicy) -> MeasurementPolicy:
        checked = checked_policy(self.name, policy, ALLOWED, self._dtypes(), self.has_threads)
        return replace(checked, execution="graph")

    def _dtypes(self) -> Mapping[str, str]:
        """What a device cannot do it replaces quietly (float16 by bfloat16): so it is asked."""
        if self.probe():
            return dict.fromkeys(HINTS, "")
        able = _core().get_property(self.device, "OPTIMIZATION_CAPABILITIES")
        missing = f"OpenVINO's {self.device} lists {', '.join(sorted(able))} only"
        return {dtype: "" if CAPABILITIES[dtype] in able else missing for dtype in HINTS}

    def rank_quantum(self, _policy: MeasurementPolicy) -> int:
        """Channels come in blocks of 16 (AVX-512; the sub-groups of Intel's GPUs)."""
        return 16

    def how_to_run(self, dtype: str) -> str:
        return f"compile it with INFERENCE_PRECISION_HINT {HINTS[dtype]!r}"

    def prepare(self, workload: Workload, policy: MeasurementPolicy) -> OpenVinoRunner:
        if isinstance(workload, ChainWorkload) and policy.dtype == "int8":
            return self._quantized(workload, policy)
        if isinstance(workload, ChainWorkload):
            made = chain_in(workload.chain, "float32", policy.batch).SerializeToString()
            return self._runner(made, chain_inputs(workload.chain, policy.batch), policy)
        if isinstance(workload, FileWorkload):
            if not workload.path.is_file():
                raise MeasurementError(f"there is no file {workload.path.name}", "prepare")
            return self._runner(workload.path, workload.specs, policy)
        raise BackendError(f"{self.name} runs ONNX, not a {type(workload).__name__}")

    def _quantized(self, workload: ChainWorkload, policy: MeasurementPolicy) -> OpenVinoRunner:
        """OpenVINO turns channels by itself, and keeps a convolution in float32 behind a node that
        does: so a chain takes and gives its channels first."""
        chain = workload.chain
        model, boundary = quantized_model(
            chain, random_weights(chain), policy.batch, floats=workload.floats
        )
        specs = chain_inputs(chain, policy.batch)
        runner = self._runner(model.SerializeToString(), specs, policy, boundary)
        links, floats = len(chain.links), workload.floats
        require_integers("OpenVINO", runner.multiplications(), links, floats)
        return runner

    def _runner(
        self,
        source: Any,
        specs: Sequence[InputSpec],
        policy: MeasurementPolicy,
        boundary: Boundary | None = None,
    ) -> OpenVinoRunner:
        import openvino

        try:
            model = _core().read_model(source)
            inputs = in_file([port.any_name for port in model.inputs], specs)
            for port in model.inputs:
                shape, said = list(inputs[port.any_name].shape), port.partial_shape
                if not said.compatible(openvino.PartialShape(shape)):
                    raise MeasurementError(f"{shape} does not fit {said}", "prepare")
            model.reshape({name: list(spec.shape) for name, spec in inputs.items()})
            compiled = _core().compile_model(model, self.device, self._config(policy))
            return OpenVinoRunner(compiled, list(inputs.values()), boundary)
        except MeasurementError:
            raise
        except Exception as error:  # OpenVINO raises plain RuntimeError
            raise MeasurementError(f"OpenVINO refused it: {one_line(error)}", "prepare") from error

    def _config(self, policy: MeasurementPolicy) -> dict[str, Any]:
        common: dict[str, Any] = {
            "INFERENCE_PRECISION_HINT": HINTS[policy.dtype],
            "PERFORMANCE_HINT": "LATENCY",
            "NUM_STREAMS": "1",
        }
        if self.has_threads:
            # Pinning would change the affinity of threads that outlive the runner.
            common |= {"INFERENCE_NUM_THREADS": policy.threads, "ENABLE_CPU_PINNING": False}
        return common


class OpenVinoRunner:
    """A compiled model and its one request; tensors are set once, so nothing is copied."""

    def __init__(
        self,
        compiled: openvino.CompiledModel,
        specs: Sequence[InputSpec],
        boundary: Boundary | None = None,
    ) -> None:
        """`boundary`: how a model takes and gives arrays that are quantised."""
        import openvino

        self._compiled: openvino.CompiledModel | None = compiled
        self._boundary = boundary
        # Kept, because the request shares their memory.
        self._inputs = self._typed(all_made_up(specs))
        self._request = compiled.create_infer_request()
        for place, array in enumerate(self._inputs):
            tensor = openvino.Tensor(array, shared_memory=bool(array.ndim))
            self._request.set_input_tensor(place, tensor)
        self._request.infer()

    def _typed(self, arrays: Sequence[NDArray[Any]]) -> Arrays:
        if self._boundary:
            return [self._boundary.encoded(array) for array in arrays]
        ports = self._open().inputs
        pairs = zip(arrays, ports, strict=True)
        return [array.astype(port.element_type.to_dtype()) for array, port in pairs]

    def run(self, loops: int) -> Mapping[str, float]:
        self._open()
        try:
            return HostClock().time(self._execute, loops)
        except Exception as error:
            raise MeasurementError(f"OpenVINO failed: {one_line(error)}", "run") from error

    def _execute(self) -> None:
        """Without arguments `infer` would collect outputs into a dictionary of arrays."""
        self._request.start_async()
        self._request.wait()

    def compute(self, inputs: Sequence[NDArray[Any]]) -> Arrays:
        compiled = self._open()
        try:
            request = compiled.create_infer_request()
            request.infer(self._typed(inputs))
            found = [request.get_output_tensor(i).data for i in range(len(compiled.outputs))]
            decoded = self._boundary.decoded if self._boundary else np.array
            return [decoded(output) for output in found]
        except Exception as error:
            raise MeasurementError(f"OpenVINO failed: {one_line(error)}", "run") from error

    def multiplications(self) -> list[tuple[str, bool]]:
        """Kernels that multiply, by their type, and whether they multiply integers."""
        nodes = self._open().get_runtime_model().get_ordered_ops()
        said = [{name: value.astype(str) for name, value in n.get_rt_info().items()} for n in nodes]
        return [
            (one["layerType"], one["runtimePrecision"] in INTEGERS)
            for one in said
            if one.get("layerType") in MULTIPLY
        ]

    def close(self) -> None:
        self._request = self._compiled = None

    def _open(self) -> openvino.CompiledModel:
        if self._compiled is None:
            raise MeasurementError("the runner is closed", "run")
        return self._compiled
