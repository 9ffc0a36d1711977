"""Devices of a fleet, and what they have measured: what is shown."""

from __future__ import annotations

from collections.abc import Iterator

from .. import documents
from .inspection_text import chip, profile
from .shown import Rows, Sentence, Shown


def fleet(document: documents.Fleet) -> Iterator[Shown]:
    """Show the devices of a fleet, and what each does or why it does nothing."""
    yield Rows(
        ("id", "host", "backend", "device", "labels", "state", "job or reason", "seen"),
        (
            [
                *(d.id, d.host, d.backend, chip(d.fingerprint), " ".join(d.labels)),
                *(d.state.replace("_", " "), d.reason or d.job or "", _ago(d.seen_s_ago)),
            ]
            for d in document.devices
        ),
    )
    yield Sentence(document.headline)


def _ago(seconds: float) -> str:
    return "now" if seconds < 60 else f"{seconds / 60:.0f} min ago"


def profiles(document: documents.FleetProfile) -> Iterator[Shown]:
    """Show what each device has measured."""
    for device_id, one in document.profiles.items():
        yield Sentence(f"{device_id}:")
        yield from profile(one)
    for device_id, error in document.errors.items():
        yield Sentence(f"{device_id}: {error}")
    yield Sentence(document.headline)
