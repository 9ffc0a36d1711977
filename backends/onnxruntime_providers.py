"""ONNX Runtime: one backend for each execution provider, from one class and a table.

Which providers there are is decided by the installed package: `onnxruntime`,
`onnxruntime-gpu`, `onnxruntime-directml` ... are builds of one module, and only one of them
can be installed at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import onnxruntime as ort

from ..errors import BackendError
from ..records import DeviceFingerprint, MeasurementPolicy
from . import nvidia
from .base import ChainWorkload, FileWorkload, Workload, chain_inputs
from .boards import host_board, place_on_host
from .host import cpu_hardware, host_run_metadata
from .onnx_dtypes import chain_in, cpu_casts_float16, network_in
from .onnxruntime_integers import activation_dtype, quantized_session
from .onnxruntime_session import CPU, OnnxRuntimeRunner, Place, make_session
from .validation import INFERENCE_ONLY, checked_policy, require_choice, whole_number

SUFFIX = "ExecutionProvider"
CPU_NODES = "+cpu_nodes"
ALLOWED = {
    **INFERENCE_ONLY,
    "numeric_mode": ("default",),
    "execution": ("eager", "graph", f"graph{CPU_NODES}"),
}

Options = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Provider:
    """What differs between providers."""

    slug: str
    """The backend is called `onnxruntime-<slug>`."""
    name: str
    """ONNX Runtime's."""
    package: str
    """The distribution that holds it."""
    memory: str = "cpu"
    """Where inputs and outputs are bound: in the device's memory where Python can do that."""
    options: Mapping[str, Options] = field(default_factory=dict)
    """dtype -> provider options; `` for all dtypes."""
    has_threads: bool = False
    is_nvidia: bool = False
    memory_pattern: bool = True
    quantum: int = 16
    device_key: str = "device_id"
    """The provider option that takes the device's number; empty if there is none."""
    threads_key: str = ""
    """The provider option that takes the number of threads, if it has a pool of its own."""

    @property
    def backend(self) -> str:
        return f"onnxruntime-{self.slug}"


PROVIDERS = {
    provider.slug: provider
    for provider in (
        # MLAS works on blocks of 16 channels where there is AVX-512 (16 floats).
        Provider("cpu", CPU, "onnxruntime", has_threads=True, device_key=""),
        Provider(
            "cuda",
            "CUDAExecutionProvider",
            "onnxruntime-gpu",
            memory="cuda",
            options={"": {"use_tf32": "0"}},
            is_nvidia=True,
        ),
        Provider(
            "tensorrt",
            "TensorrtExecutionProvider",
            "onnxruntime-gpu",
            memory="cuda",
            options={"float16": {"trt_fp16_enable": "1"}},
            is_nvidia=True,
        ),
        Provider(
            "cann",
            "CANNExecutionProvider",
            "onnxruntime-cann",
            memory="cann",
            options={
                "float32": {"precision_mode": "must_keep_origin_dtype"},
                "float16": {"precision_mode": "force_fp16"},
            },
        ),
        Provider(
            "openvino",
            "OpenVINOExecutionProvider",
            "onnxruntime-openvino",
            options={
                "float32": {"device_type": "CPU", "precision": "FP32"},
                "float16": {"device_type": "CPU", "precision": "FP16"},
            },
            has_threads=True,
            device_key="",
            threads_key="num_of_threads",
        ),
        Provider(
            "directml",
            "DmlExecutionProvider",
            "onnxruntime-directml",
            memory="dml",
            memory_pattern=False,
        ),
        Provider(
            "coreml",
            "CoreMLExecutionProvider",
            "onnxruntime",
            options={"": {"ModelFormat": "MLProgram", "RequireStaticInputShapes": "1"}},
            device_key="",
        ),
        Provider(
            "xnnpack",
            "XnnpackExecutionProvider",
            "onnxruntime built with XNNPACK",
            has_threads=True,
            device_key="",
            threads_key="intra_op_num_threads",
        ),
        Provider("migraphx", "MIGraphXExecutionProvider", "onnxruntime-migraphx"),
        Provider("qnn", "QNNExecutionProvider", "onnxruntime-qnn", device_key=""),
        Provider("webgpu", "WebGpuExecutionProvider", "onnxruntime-webgpu", device_key=""),
        Provider("dnnl", "DnnlExecutionProvider", "onnxruntime built with oneDNN", device_key=""),
    )
}

NOT_A_DEVICE = ("AzureExecutionProvider",)
"""Calls a web service, and runs no operator of its own."""


def found_names() -> list[str]:
    """Backends of the providers that the installed ONNX Runtime has, unknown ones included."""
    return [
        _provider_of(name).backend
        for name in ort.get_available_providers()
        if name not in NOT_A_DEVICE
    ]


def _provider_of(name: str) -> Provider:
    for provider in PROVIDERS.values():
        if provider.name == name:
            return provider
    slug = name.removesuffix(SUFFIX).lower()
    return Provider(slug, name, "onnxruntime", device_key="")


def named(slug: str) -> Callable[..., OnnxRuntimeBackend]:
    """What opens `onnxruntime-<slug>`. `BackendError` for a provider that nobody knows."""
    installed = map(_provider_of, ort.get_available_providers())
    known = {provider.slug: provider for provider in installed} | PROVIDERS
    if slug in known:
        return partial(OnnxRuntimeBackend, known[slug])
    raise BackendError(
        f"unknown backend 'onnxruntime-{slug}'; this ONNX Runtime has {', '.join(found_names())}"
    )


class OnnxRuntimeBackend:
    """Runs ONNX models on one provider: chains built with `onnx.helper`, and network files.

    Options: `device` (its number), and `cpu_nodes=allowed`, which lets the CPU provider run
    what the chosen one cannot, and says so in the policy's execution.
    """

    accepts: tuple[type, ...] = (ChainWorkload, FileWorkload)

    def __init__(self, provider: Provider, device: str = "0", cpu_nodes: str = "refused") -> None:
        self.name, self.provider = provider.backend, provider
        self.device_id = whole_number("device", device)
        self.allows_cpu_nodes = (
            require_choice("cpu_nodes", cpu_nodes, ("refused", "allowed")) == "allowed"
        )

    def probe(self) -> str:
        provider = self.provider
        if provider.name not in ort.get_available_providers():
            return f"the installed ONNX Runtime has no {provider.name} ({provider.package} has)"
        return nvidia.absent(self.device_id) if provider.is_nvidia else ""

    def fingerprint(self) -> DeviceFingerprint:
        """With the host's processor, which launches the kernels of any other device."""
        hardware, software = cpu_hardware(), {"onnxruntime": ort.__version__}
        if self.provider.is_nvidia:
            hardware = {
                **nvidia.gpu_hardware(self.device_id),
                "host_chip": hardware["chip"],
            }
            software |= {"driver": nvidia.driver_version()}
        elif not self.provider.has_threads:
            hardware["accelerators"] = accelerators()
            hardware["device"] = str(self.device_id)
        return DeviceFingerprint.of(self.name, hardware, software)

    def board(self) -> str | None:
        if self.provider.is_nvidia:
            return nvidia.gpu_board(self.device_id)
        if self.provider.has_threads:
            return host_board()
        return place_on_host(self.name, self.device_id)

    def run_metadata(self) -> dict[str, str]:
        gpu = nvidia.gpu_run_metadata(self.device_id) if self.provider.is_nvidia else {}
        return {**host_run_metadata(), **gpu}

    def resolve_policy(self, policy: MeasurementPolicy) -> MeasurementPolicy:
        dtypes, has_threads = self._dtypes(policy.dtype), self.provider.has_threads
        checked = checked_policy(self.name, policy, ALLOWED, dtypes, has_threads)
        allows = self.allows_cpu_nodes or policy.execution.endswith(CPU_NODES)
        return replace(checked, execution=f"graph{CPU_NODES}" if allows else "graph")

    def _dtypes(self, asked: str) -> Mapping[str, str]:
        """dtype -> empty, or why not; what needs a session to find out is only tried when asked."""
        casts = asked == "float16" and self.provider.name == CPU and cpu_casts_float16()
        why = "this processor's kernels cast it to float32 and back" if casts else ""
        none = "ONNX Runtime has no bfloat16 convolutions"
        return {"float32": "", "float16": why, "bfloat16": none, "int8": self._no_integers(asked)}

    def _no_integers(self, asked: str) -> str:
        if asked != "int8" or self.probe() or activation_dtype(self.provider.name):
            return ""
        return f"ONNX Runtime has no integer convolutions for {self.provider.name}"

    def rank_quantum(self, _policy: MeasurementPolicy) -> int:
        return self.provider.quantum

    def how_to_run(self, _dtype: str) -> str:
        return "convert it by onnxruntime.transformers.float16.convert_float_to_float16"

    def prepare(self, workload: Workload, policy: MeasurementPolicy) -> OnnxRuntimeRunner:
        model: bytes | str
        if policy.dtype == "int8" and isinstance(workload, ChainWorkload):
            return self._quantized(workload, policy)
        if isinstance(workload, ChainWorkload):
            model = chain_in(workload.chain, policy.dtype, policy.batch).SerializeToString()
            specs = chain_inputs(workload.chain, policy.batch)
        elif isinstance(workload, FileWorkload):
            model, specs = network_in(workload.path, policy.dtype), workload.specs
        else:
            raise BackendError(f"{self.name} runs ONNX, not a {type(workload).__name__}")
        place = self._place(policy)
        session = make_session(model, place, self._pool(policy))
        return OnnxRuntimeRunner(session, specs, place)

    def _quantized(self, workload: ChainWorkload, policy: MeasurementPolicy) -> OnnxRuntimeRunner:
        place, dtype = self._place(policy), activation_dtype(self.provider.name)
        session, boundary = quantized_session(
            workload, place, self._pool(policy), policy.batch, dtype
        )
        return OnnxRuntimeRunner(
            session, chain_inputs(workload.chain, policy.batch), place, boundary
        )

    def _pool(self, policy: MeasurementPolicy) -> int:
        """Threads of ONNX Runtime's own pool: one where the provider brings another pool."""
        return 1 if self.provider.threads_key else policy.threads

    def _place(self, policy: MeasurementPolicy) -> Place:
        provider = self.provider
        options: dict[str, Any] = {
            **provider.options.get("", {}),
            **provider.options.get(policy.dtype, {}),
        }
        if provider.device_key:
            options[provider.device_key] = str(self.device_id)
        if provider.threads_key:
            options[provider.threads_key] = str(policy.threads)
        return Place(
            provider.name,
            options,
            provider.memory,
            self.device_id,
            strict=not policy.execution.endswith(CPU_NODES),
            memory_pattern=provider.memory_pattern,
        )


def accelerators() -> str:
    """What ONNX Runtime sees beside the processor: vendor and device numbers."""
    if not hasattr(ort, "get_ep_devices"):
        return "unknown"
    seen = {
        f"{device.device.vendor or device.device.vendor_id} {device.device.device_id}"
        for device in ort.get_ep_devices()
        if device.device.type != ort.OrtHardwareDeviceType.CPU
    }
    return ", ".join(sorted(seen)) or "none named"
