"""What every verb starts from: a network, a device and a policy, checked before any work."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import documents
from ..errors import BackendError, UsageError
from ..records import DeviceFingerprint, LayerSpec, LayerUse, MeasurementPolicy, Phase, content_key

if TYPE_CHECKING:
    from ..backends.base import Backend
    from ..models.network import Network
    from ..models.pictures import Calibration


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

    @property
    def original_key(self) -> str:
        """Of the original network as a workload; as long as all content keys are."""
        return content_key(["original", self.network.sha256])

    @property
    def network_policy(self) -> MeasurementPolicy:
        """The same policy for whole networks."""
        return self.backend.resolve_policy(replace(self.policy, context="in_network"))

    def in_phase(self, phase: Phase) -> Setup:
        """The same for another phase. Raises `BackendError` where the device does not know it."""
        return replace(self, policy=self.backend.resolve_policy(replace(self.policy, phase=phase)))

    @property
    def model(self) -> documents.Model:
        return model_note(self.network)


def model_note(network: Network) -> documents.Model:
    return documents.Model(
        source=network.source, sha256=network.sha256, input_shape=network.input_shape
    )


def make_setup(
    model: Any,
    *,
    backend: str,
    example_input: Any = None,
    weights: Path | None = None,
    input_shape: Sequence[int] | None = None,
    batch: int | None = None,
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
    if threads < 1:
        raise UsageError(f"--threads must be at least 1, not {threads}")
    if batch is not None and batch < 1:
        raise UsageError(f"--batch must be at least 1, not {batch}")
    if phase not in ("inference", "training"):
        raise UsageError(f"--phase is inference or training, not {phase!r}")
    if context not in ("isolated", "marginal"):
        raise UsageError(
            f"--context is isolated or marginal, not {context!r}; in_network is what `plan` "
            "measures of its finalists"
        )
    device = usable_backend(backend)
    wanted = MeasurementPolicy(
        phase=phase,  # type: ignore[arg-type]
        context=context,  # type: ignore[arg-type]
        threads=threads,
        dtype=dtype,
        execution=execution,
        numeric_mode=numeric_mode,
    )
    device.resolve_policy(wanted)
    network = load(
        model, example_input=example_input, weights=weights, input_shape=input_shape, batch=batch
    )
    policy = device.resolve_policy(replace(wanted, batch=network.input_shape[0]))
    named = isinstance(model, (str, Path))
    return Setup(network, device, backend, policy, named, weights)


def usable_backend(text: str) -> Backend:
    """The backend of that name; `BackendError` if it is unknown or cannot be used here."""
    from ..backends.registry import open_backend

    device = open_backend(text)
    reason = device.probe()
    if reason:
        raise BackendError(f"backend {text} cannot be used here: {reason}")
    return device


def load(
    model: Any,
    *,
    example_input: Any = None,
    weights: Path | None = None,
    input_shape: Sequence[int] | None = None,
    batch: int | None = None,
) -> Network:
    """A network from what the user gave: a source in words, a torch module, or a network."""
    from ..models.source import load_network, network_of_module

    if isinstance(model, (str, Path)):
        return load_network(str(model), weights=weights, input_shape=input_shape, batch=batch)
    if hasattr(model, "layers") and hasattr(model, "replaced"):
        return model  # type: ignore[no-any-return]
    if example_input is None:
        raise UsageError("a torch module needs an example_input, from which shapes are read")
    return network_of_module(model, example_input)


def distinct_specs(uses: Sequence[LayerUse]) -> list[LayerSpec]:
    """Each spec once, in the network's order."""
    return list({use.spec.key: use.spec for use in uses if use.spec is not None}.values())


def load_pictures(
    setup: Setup, calibration: Path | None, preprocess: str | None, seed: int
) -> Calibration | None:
    from ..models.pictures import load_calibration

    if calibration is None:
        return None
    return load_calibration(calibration, preprocess, setup.network.input_shape, seed=seed)
