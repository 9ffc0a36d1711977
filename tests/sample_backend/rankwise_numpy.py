"""A backend for rankwise: layers computed by NumPy, one device family in one short file."""

import time

import numpy as np

from rankwise.backends.base import ChainWorkload, random_input
from rankwise.backends.host import cpu_hardware, host_run_metadata
from rankwise.backends.validation import INFERENCE_ONLY, one_line, require_supported
from rankwise.errors import BackendError, MeasurementError
from rankwise.ops.chain import random_weights
from rankwise.ops.reference import reference
from rankwise.records import DeviceFingerprint

ALLOWED = {
    **INFERENCE_ONLY,
    "dtype": ("float32",),
    "numeric_mode": ("default",),
    "execution": ("eager",),
    "threads": (1,),
}


class NumpyBackend:
    name = "numpy"
    accepts = (ChainWorkload,)

    def probe(self):
        return ""  # else a phrase: "the driver of ... is not installed"

    def fingerprint(self):
        return DeviceFingerprint.of(self.name, cpu_hardware(), {"numpy": np.__version__})

    def run_metadata(self):
        return host_run_metadata()

    def resolve_policy(self, policy):
        require_supported(self.name, policy, ALLOWED)
        return policy

    def rank_quantum(self, policy):
        return 8

    def prepare(self, workload, policy):
        if not isinstance(workload, ChainWorkload):
            raise BackendError(f"{self.name} runs chains, not a {type(workload).__name__}")
        return NumpyRunner(workload.chain, policy.batch)


class NumpyRunner:
    def __init__(self, chain, batch):
        self.chain, self.weights = chain, random_weights(chain)
        self.image = random_input((batch, *chain.input_shape))

    def run(self, loops):
        self.require_open()
        try:
            start = time.perf_counter_ns()
            for _ in range(loops):
                reference(self.chain, self.weights, self.image)
            elapsed = time.perf_counter_ns() - start
        except Exception as error:
            raise MeasurementError(f"NumPy failed: {one_line(error)}", "run") from error
        return {"host": elapsed * 1e-9 / loops}

    def compute(self, inputs):
        self.require_open()
        return [reference(self.chain, self.weights, inputs[0]).astype(np.float32)]

    def close(self):
        self.chain = None

    def require_open(self):
        if self.chain is None:
            raise MeasurementError("the runner is closed", "run")
