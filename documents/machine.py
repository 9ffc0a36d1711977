"""Which devices there are, and whether this machine is fit to measure."""

from __future__ import annotations

from typing import Literal

from .base import Document, Fingerprint, Strict


class Device(Strict):
    backend: str
    available: bool
    reason: str
    fingerprint: Fingerprint | None


class Devices(Document):
    kind: Literal["rankwise.devices"] = "rankwise.devices"
    devices: list[Device]

    @property
    def headline(self) -> str:
        working = sum(one.available for one in self.devices)
        return f"{working} of {len(self.devices)} backends work here"


class Check(Strict):
    """`advice` says what to change; empty where nothing needs to."""

    name: str
    ok: bool
    value: str
    advice: str


class Doctor(Document):
    """Whether this machine is fit to measure; every check has to be ok for that."""

    kind: Literal["rankwise.doctor"] = "rankwise.doctor"
    fit: bool
    backend: str
    checks: list[Check]

    @property
    def headline(self) -> str:
        failed = sum(not one.ok for one in self.checks)
        fit = "fit" if self.fit else f"not fit: {failed} of {len(self.checks)} checks fail"
        return f"{self.backend}, {fit}"
