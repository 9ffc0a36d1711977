"""What every verb starts from: a network, a device and a policy, checked before any work."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from .. import documents
from ..backends.base import Backend, in_dtype
from ..backends.boards import board_of
from ..backends.registry import open_backend
from ..errors import BackendError, UsageError
from ..inputs.examples import AskedInput
from ..models.network import Network
from ..models.notes import model_note
from ..models.pictures import Calibration, load_calibration
from ..models.preprocess import usual_preprocess
from ..models.source import network_of
from ..records import DeviceFingerprint, LayerSpec, LayerUse, MeasurementPolicy, Phase, content_key


@dataclass(frozen=True)
class Setup:
    """A network on a device under a policy. `policy` is the one for single layers."""

    network: Network
    backend: Backend
    backend_text: str
    policy: MeasurementPolicy
    named: bool = False
    """Whether another process can load the network by its source (and `weights`)."""
    weights: Path | None = None

    @cached_property
    def fingerprint(self) -> DeviceFingerprint:
        return self.backend.fingerprint()

    @cached_property
    def board(self) -> str | None:
        return board_of(self.backend)

    @property
    def original_key(self) -> str:
        """Key of the original network as a workload; as long as all content keys are."""
        return content_key(["original", self.network.sha256])

    @property
    def network_policy(self) -> MeasurementPolicy:
        """The same policy for whole networks."""
        return self.backend.resolve_policy(replace(self.policy, context="in_network"))

    def in_phase(self, phase: Phase) -> Setup:
        """Return the same set-up for another phase. Raises `BackendError` where the device does not
        know it."""
        return replace(self, policy=self.backend.resolve_policy(replace(self.policy, phase=phase)))

    def in_dtype(self, dtype: str) -> Setup:
        """Return the same set-up for another dtype. Raises `BackendError` where the device cannot
        compute in it."""
        return replace(self, policy=in_dtype(self.backend, self.policy, dtype))

    @property
    def model(self) -> documents.Model:
        return model_note(self.network)

    def pictures(
        self, calibration: Path | None, preprocess: str | None, seed: int
    ) -> Calibration | None:
        """Return the calibration pictures for the network; None for no folder."""
        if calibration is None:
            return None
        recipe = preprocess or usual_preprocess(self.network.source)
        return load_calibration(calibration, recipe, self.network.inputs, seed=seed)


def make_setup(
    model: Any,
    *,
    backend: str,
    example_input: Any = None,
    weights: Path | None = None,
    input_shape: Sequence[int] | None = None,
    batch: int | None = None,
    inputs: Sequence[AskedInput] = (),
    threads: int = 1,
    phase: str = "inference",
    dtype: str = "float32",
    execution: str = "eager",
    numeric_mode: str = "default",
    context: str = "isolated",
) -> Setup:
    """Check everything that can be checked cheaply, then load the network.

    `execution` "eager" and `numeric_mode` "default" leave it to the backend and its options.
    Raises `UsageError` (or a child of it) with one sentence.
    """
    if batch is not None and batch < 1:
        raise UsageError(f"--batch must be at least 1, not {batch}")
    wanted = wanted_policy(phase, context, threads, dtype, execution, numeric_mode)
    device = usable_backend(backend)
    device.resolve_policy(wanted)
    network = network_of(
        model,
        example_input=example_input,
        weights=weights,
        input_shape=input_shape,
        batch=batch,
        inputs=inputs,
    )
    policy = device.resolve_policy(replace(wanted, batch=network.inputs.batch))
    named = isinstance(model, (str, Path))
    return Setup(network, device, backend, policy, named, weights)


def wanted_policy(
    phase: str, context: str, threads: int, dtype: str, execution: str, numeric_mode: str
) -> MeasurementPolicy:
    """What is asked of a backend. Raises `UsageError` for what none knows."""
    if threads < 1:
        raise UsageError(f"--threads must be at least 1, not {threads}")
    if phase not in ("inference", "training"):
        raise UsageError(f"--phase is inference or training, not {phase!r}")
    if context not in ("isolated", "marginal"):
        raise UsageError(
            f"--context is isolated or marginal, not {context!r}; in_network is what `plan` "
            "times of whole plans"
        )
    return MeasurementPolicy(
        phase=phase,  # type: ignore[arg-type]
        context=context,  # type: ignore[arg-type]
        threads=threads,
        dtype=dtype,
        execution=execution,
        numeric_mode=numeric_mode,
    )


def usable_backend(text: str) -> Backend:
    """Return the backend of that name; `BackendError` if it is unknown or cannot be used here."""
    device = open_backend(text)
    if reason := device.probe():
        raise BackendError(f"backend {text} cannot be used here: {reason}")
    return device


def distinct_specs(uses: Sequence[LayerUse]) -> list[LayerSpec]:
    """Return each spec once, in the network's order."""
    return list({spec.key: spec for use in uses for spec in use.every_call}.values())
