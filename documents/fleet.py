"""The devices of a fleet, and how each of them is."""

from __future__ import annotations

from collections import Counter
from typing import Literal

from .base import Document, Fingerprint, Strict
from .profile import Profile

DeviceState = Literal["idle", "busy", "lost", "quarantined", "other_versions"]


class FleetDevice(Strict):
    """One device. `job` is what it does now; `reason` why it takes no jobs; `seen_s_ago` how many
    seconds ago the service saw its worker, both times by the database's clock."""

    id: str
    host: str
    backend: str
    fingerprint: Fingerprint
    labels: list[str]
    versions: dict[str, str]
    state: DeviceState
    reason: str
    job: str | None
    seen_at: str
    seen_s_ago: float


class Fleet(Document):
    """Every device that has registered; `versions` are those that a worker must have."""

    kind: Literal["rankwise.fleet"] = "rankwise.fleet"
    versions: dict[str, str]
    devices: list[FleetDevice]

    @property
    def headline(self) -> str:
        states = Counter(device.state.replace("_", " ") for device in self.devices)
        counts = ", ".join(f"{count} {state}" for state, count in sorted(states.items()))
        return f"{len(self.devices)} devices: {counts}" if self.devices else "no devices yet"


class FleetProfile(Document):
    """What each device of a fleet has measured, by the device's id; and why another has not."""

    kind: Literal["rankwise.fleet_profile"] = "rankwise.fleet_profile"
    profiles: dict[str, Profile]
    errors: dict[str, str]

    @property
    def complete(self) -> bool:
        return not self.errors and all(profile.complete for profile in self.profiles.values())

    @property
    def failed(self) -> int:
        return sum(profile.failed for profile in self.profiles.values())

    @property
    def headline(self) -> str:
        failed = f", {len(self.errors)} could not" if self.errors else ""
        return f"{len(self.profiles)} devices have measured{failed}"
