"""Devices by what a store knows of them: also those that are not in this machine."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from ..backends.base import Backend, Runner, Workload
from ..backends.registry import open_backend
from ..db.measurement_values import MeasurementFilter
from ..db.store import Store
from ..errors import BackendError, MeasurementError, UsageError
from ..models.network import Network
from ..records import DeviceFingerprint, Measurement, MeasurementPolicy
from .rows import known_hash
from .setup import Setup

NOT_HERE = "this device is not in this machine"


@dataclass(slots=True)
class StoredDevice:
    """The backend of a device that was measured elsewhere: it says what it is, and runs nothing.
    `policies` are those under which layers were measured there."""

    name: str
    stored: DeviceFingerprint
    policies: tuple[MeasurementPolicy, ...]
    accepts: tuple[type, ...] = ()

    def probe(self) -> str:
        return NOT_HERE

    def fingerprint(self) -> DeviceFingerprint:
        return self.stored

    def run_metadata(self) -> dict[str, str]:
        return {}

    def resolve_policy(self, policy: MeasurementPolicy) -> MeasurementPolicy:
        """The stored policy that answers what is asked; whole networks go as single layers do."""
        asked = policy if policy.context != "in_network" else replace(policy, context="isolated")
        found = next((one for one in self.policies if answers(one, asked)), None)
        if found is None:
            raise BackendError(f"nothing was measured on {self.name} in the phase {policy.phase}")
        return replace(found, context=policy.context)

    def rank_quantum(self, _policy: MeasurementPolicy) -> int:
        return 1

    def prepare(self, workload: Workload, _policy: MeasurementPolicy) -> Runner:
        raise MeasurementError(f"{workload.key}: {NOT_HERE}", "prepare")


def answers(stored: MeasurementPolicy, asked: MeasurementPolicy) -> bool:
    """Whether what was measured under one policy is what another asks for. How it is carried out
    (execution, numeric mode) is each backend's own; some know no threads."""
    same = ("phase", "context", "cache", "batch", "dtype", "frozen")
    return stored.threads in (0, asked.threads) and all(
        getattr(stored, name) == getattr(asked, name) for name in same
    )


def setups_of(
    names: Sequence[str],
    store: Store,
    network: Network,
    asked: MeasurementPolicy,
    backend: str | None = None,
    weights: Path | None = None,
    named: bool = False,
) -> list[Setup]:
    """A set-up for each device that `names` (backends or hardware keys) say, in their order.

    A device that is in this machine, by its backend's plain name or as `backend`, can be used; of
    the others there is what the store has. Of several versions of a device's software the newest
    counts. Raises `UsageError` for a name that nothing was measured on.
    """
    known = _known(names, store, network, asked)
    setups = []
    for fingerprint, policies in known.items():
        text, device = _opened(fingerprint, policies, backend)
        policy = device.resolve_policy(asked)
        setups.append(Setup(network, device, text, policy, named, weights))
    return setups


Known = Mapping[DeviceFingerprint, tuple[MeasurementPolicy, ...]]


def _known(names: Sequence[str], store: Store, network: Network, asked: MeasurementPolicy) -> Known:
    sha256 = known_hash(store, network)
    found: dict[DeviceFingerprint, tuple[MeasurementPolicy, ...]] = {}
    for name in names:
        wanted = MeasurementFilter(network_sha=sha256, devices=[name])
        timed = [one for one in store.measurements.find(wanted) if one.summaries]
        here = {
            device: policies
            for device, policies in _policies(_newest(timed)).items()
            if any(answers(one, asked) for one in policies)
        }
        if not here:
            raise UsageError(
                f"nothing was measured of {network.source} on --device {name} in the phase "
                f"{asked.phase} and {asked.dtype} with batch {asked.batch} and threads "
                f"{asked.threads}: "
                "`rankwise table` shows what was"
            )
        found |= here
    return found


def _newest(measurements: Iterable[Measurement]) -> list[Measurement]:
    """Those of each hardware's software that was measured last."""
    ordered = sorted(measurements, key=lambda one: one.measured_at)
    newest = {one.fingerprint.hardware_key: one.fingerprint for one in ordered}
    return [one for one in ordered if newest[one.fingerprint.hardware_key] == one.fingerprint]


def _policies(measurements: Iterable[Measurement]) -> Known:
    """All policies of each device, the latest first; devices in the order of `measurements`."""
    found: dict[DeviceFingerprint, dict[MeasurementPolicy, None]] = {}
    for one in measurements:
        policies = found.setdefault(one.fingerprint, {})
        policies.pop(one.policy, None)
        policies[one.policy] = None
    return {device: tuple(reversed(policies)) for device, policies in found.items()}


def _opened(
    device: DeviceFingerprint, policies: tuple[MeasurementPolicy, ...], backend: str | None
) -> tuple[str, Backend]:
    """The device's own backend, if it is in this machine, and what opens it."""
    for text in filter(None, (backend, device.backend)):
        try:
            found = open_backend(text)
            if not found.probe() and found.fingerprint() == device:
                return text, found
        except BackendError:
            continue
    return device.backend, StoredDevice(device.backend, device, policies)
