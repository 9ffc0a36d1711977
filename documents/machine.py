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
