"""A session that is measured while the world fails, and what is said about it."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from rankwise.db import Store
from rankwise.errors import StoreError
from rankwise.records import (
    ORIGINAL,
    Candidate,
    Decomposition,
    DeviceFingerprint,
    LayerSpec,
    LayerUse,
    MeasurementPolicy,
    Sample,
)

POLICY = MeasurementPolicy()
DEVICE = DeviceFingerprint.of("fake", {"chip": "a"}, {"driver": "1"})
SPEC = LayerSpec("linear", 8, 8, (8,))
ORIGIN = Candidate(SPEC, ORIGINAL)
ONE = Candidate(SPEC, Decomposition("svd", (4,)))
USES = (LayerUse("fc", "linear", SPEC),)
NETWORK = "a" * 64


def begin(store: Store) -> int:
    return store.sessions.begin(DEVICE, POLICY, ORIGIN, [ONE], {})


def add(store: Store, session: int, number: int) -> None:
    pair = ((ORIGIN.key, 2.0 + number), (ONE.key, 1.0))
    store.sessions.add_round(session, [Sample(number, key, "host", s) for key, s in pair])


def complaint(act: Callable[[], object]) -> str:
    with pytest.raises(StoreError) as caught:
        act()
    found = str(caught.value)
    assert "\n" not in found
    assert len(found) < 400
    return found
