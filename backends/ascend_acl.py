"""Huawei Ascend through pyACL: the workload's ONNX, compiled by `atc`, timed by events.

Written strictly by CANN's documentation and published sources. It has been run on a strict
fake of pyACL only, never on a device: see docs/ascend.md.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from functools import cached_property, partial
from importlib import import_module
from pathlib import Path

from ..errors import BackendError, MeasurementError
from ..ops.made_up import InputSpec
from ..records import DeviceFingerprint, MeasurementPolicy
from .acl_calls import INFO_AI_CORES, MEMORY_HBM, RUN_MODE_HOST, AclError, is_bad_model
from .acl_device import AclProcess, Handles, process_of
from .acl_runner import AclRunner
from .atc import Compiler, Order, default_cache, find_atc
from .base import ChainWorkload, FileWorkload, Workload, chain_inputs
from .boards import place_on_host
from .cann_version import cann_version, driver_version
from .host import cpu_hardware, host_run_metadata
from .network_file import fix_inputs, read_network
from .onnx_dtypes import chain_in
from .validation import INFERENCE_ONLY, checked_policy, one_line, whole_number

INPUT_FORMATS = {4: "NCHW", 5: "NCDHW"}
"""By the number of the input's axes, what atc calls their order; `ND` for others."""
SET_ENV = "source CANN's set_env.sh first"
NUMERIC_MODES = {
    "float32": ("force_fp16", "must_keep_origin_dtype", "cube_fp16in_fp32out"),
    "float16": ("force_fp16",),
    "bfloat16": ("mixed_bfloat16",),
    "int8": ("force_fp16",),
}
"""dtype -> `--precision_mode`, atc's own default first: float32 networks are computed in
float16 unless told otherwise, and the policy says so."""
BFLOAT16_CHIPS = ("Ascend910B1", "Ascend910B2", "Ascend910B3", "Ascend910B4")
BFLOAT16_FAMILIES = ("Ascend910_93", "Ascend310B", "Ascend950")


class AscendAclBackend:
    """Options: `device` (its number), `cache` (folder of compiled models), `compile_timeout`
    (seconds for one model), `jobs` (how many atc run at once)."""

    name = "ascend-acl"
    accepts: tuple[type, ...] = (ChainWorkload, FileWorkload)

    def __init__(
        self, device: str = "0", cache: str = "", compile_timeout: str = "600", jobs: str = "0"
    ) -> None:
        self.number = whole_number("device", device)
        self._cache = Path(cache) if cache else default_cache()
        self._timeout_s = float(whole_number("compile_timeout", compile_timeout))
        self._jobs = whole_number("jobs", jobs)

    def probe(self) -> str:
        try:
            acl = import_module("acl")
        except ModuleNotFoundError:
            return f"the module acl is not here: {SET_ENV}"
        except Exception as error:  # a missing libascendcl.so shows as ImportError
            return f"the module acl cannot be loaded ({one_line(error)}): {SET_ENV}"
        if not find_atc():
            return f"the program atc is not on PATH: {SET_ENV}"
        if not acl.get_soc_name():
            return "acl.get_soc_name() does not say which chip this is"
        try:
            return self._probe_device()
        except MeasurementError as error:
            return one_line(error)

    def _probe_device(self) -> str:
        process = self._process
        process.start()
        count = process.acl.value("rt.get_device_count")
        if self.number >= count:
            return f"there is no Ascend device {self.number}, only {count}"
        if process.acl.value("rt.get_run_mode") != RUN_MODE_HOST:
            return "this program runs on the device itself, which is not supported yet"
        return ""

    @property
    def _process(self) -> AclProcess:
        return process_of(import_module("acl"))

    @cached_property
    def soc(self) -> str:
        """The chip by the name that atc takes."""
        name = import_module("acl").get_soc_name()
        if not name:
            raise BackendError("acl.get_soc_name() does not say which chip this is")
        return str(name)

    @cached_property
    def cann(self) -> str:
        return cann_version(import_module("acl"))

    def fingerprint(self) -> DeviceFingerprint:
        hardware = {
            "chip": self.soc,
            **self._device_facts(),
            "host_chip": cpu_hardware()["chip"],
        }
        software = {"cann": self.cann, "driver": driver_version()}
        return DeviceFingerprint.of(self.name, hardware, software)

    def _device_facts(self) -> dict[str, str]:
        """Cores and memory; what a version of CANN does not tell is `unknown`."""
        facts = {"ai_cores": "unknown", "memory_gib": "unknown"}
        device = self._process.device(self.number)
        with suppress(MeasurementError), Handles(device):
            _, total = device.acl.value("rt.get_mem_info", MEMORY_HBM)
            facts["memory_gib"] = str(round(total / 2**30))
            cores = device.acl.value("rt.get_device_info", self.number, INFO_AI_CORES)
            facts["ai_cores"] = str(cores)
        return facts

    def board(self) -> str | None:
        return place_on_host("npu", self.number)

    def run_metadata(self) -> dict[str, str]:
        found = host_run_metadata()
        with suppress(Exception):  # newer versions only
            rates = self._process.acl.value("rt.get_device_utilization_rate", self.number)
            found |= {f"npu_{name}": str(value) for name, value in rates.items()}
        return found

    def resolve_policy(self, policy: MeasurementPolicy) -> MeasurementPolicy:
        modes = NUMERIC_MODES.get(policy.dtype, ())
        if modes and policy.numeric_mode == "default":
            policy = replace(policy, numeric_mode=modes[0])
        allowed = {**INFERENCE_ONLY, "numeric_mode": modes, "execution": ("eager", "graph")}
        dtypes = self._dtypes(policy.dtype)
        checked = checked_policy(self.name, policy, allowed, dtypes, has_threads=False)
        return replace(checked, execution="graph")

    def _dtypes(self, asked: str) -> Mapping[str, str]:
        return {
            "float32": "",
            "float16": "",
            "bfloat16": self._no_bfloat16() if asked == "bfloat16" else "",
            "int8": "atc takes networks in int8 from CANN's own tool (AMCT) only",
        }

    def _no_bfloat16(self) -> str:
        with suppress(Exception):  # without a device nobody can tell
            if self.soc not in BFLOAT16_CHIPS and not self.soc.startswith(BFLOAT16_FAMILIES):
                return f"{self.soc} has no bfloat16"
        return ""

    def rank_quantum(self, policy: MeasurementPolicy) -> int:
        """The cube unit multiplies 16x16 by 16x16 in float16 and 16x32 by 32x16 in int8, and a
        rank is the inner side of a factor: starting points, to be confirmed by measuring."""
        return 32 if policy.dtype == "int8" else 16

    def prepare(self, workload: Workload, policy: MeasurementPolicy) -> AclRunner:
        order = self._order(workload, policy)
        path = self._compiler().compiled(order)
        shape = self._input_shape(workload, policy)
        try:
            return AclRunner(self._process.device(self.number), path, shape)
        except AclError as error:
            if is_bad_model(error.code):
                path.unlink(missing_ok=True)  # or it would be refused for ever
            raise

    def compile_ahead(
        self, workloads: Sequence[Workload], policy: MeasurementPolicy, budget_s: float | None
    ) -> Mapping[str, str]:
        orders: dict[str, Callable[[], Order]] = {
            workload.key: partial(self._order, workload, policy) for workload in workloads
        }
        return self._compiler().compile_all(orders, budget_s)

    def _compiler(self) -> Compiler:
        compiler = Compiler(find_atc() or "atc", self._cache, self._timeout_s)
        if self._jobs:
            compiler.jobs = self._jobs
        return compiler

    def _input_shape(self, workload: Workload, policy: MeasurementPolicy) -> tuple[int, ...]:
        return self._specs(workload, policy)[0].shape

    def _specs(self, workload: Workload, policy: MeasurementPolicy) -> tuple[InputSpec, ...]:
        """Raises `MeasurementError` for what would need other inputs than a picture."""
        if isinstance(workload, ChainWorkload):
            return chain_inputs(workload.chain, policy.batch)
        specs = workload.specs
        if len(specs) > 1 or not specs[0].plain:
            said = ", ".join(f"{spec.name} ({spec.dtype})" for spec in specs)
            reason = f"{self.name} runs networks with one float32 input, this one has {said}"
            raise MeasurementError(reason, "prepare")
        return specs

    def _order(self, workload: Workload, policy: MeasurementPolicy) -> Order:
        if isinstance(workload, ChainWorkload):
            model = chain_in(workload.chain, "float32", policy.batch)
        elif isinstance(workload, FileWorkload):
            model = read_network(workload.path)
        else:
            raise BackendError(f"{self.name} runs ONNX, not a {type(workload).__name__}")
        shape = self._input_shape(workload, policy)
        (name,) = fix_inputs(model, self._specs(workload, policy))
        flags = _flags(name, shape, policy)
        return Order(model.SerializeToString(), self.soc, self.cann, flags)


def _flags(name: str, shape: Sequence[int], policy: MeasurementPolicy) -> tuple[str, ...]:
    """In float16 inputs and outputs are float16, too; otherwise casts would be timed."""
    flags = [f"--input_format={INPUT_FORMATS.get(len(shape), 'ND')}"]
    if not set(name) & set(":;,"):  # the model is static, so the flag may be left out
        flags.append(f"--input_shape={name}:{','.join(map(str, shape))}")
    if policy.dtype == "bfloat16":
        return (*flags, f"--precision_mode_v2={policy.numeric_mode}")
    flags.append(f"--precision_mode={policy.numeric_mode}")
    if policy.dtype == "float16":
        flags += [f"--input_fp16_nodes={name}", "--output_type=FP16"]
    return tuple(flags)
