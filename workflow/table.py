"""`rankwise table`: from the store's measurements to rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, get_args

from .. import documents
from ..campaign.rows import document_of
from ..errors import UsageError
from ..records import Measurement, Phase
from .store import DEFAULT_DB

if TYPE_CHECKING:
    import pandas as pd

    from ..db.store import Store


def table(model: str | None = None, *, db: str = DEFAULT_DB, **filters: Any) -> pd.DataFrame:
    """The per-layer speedup table as a pandas frame; filters as in `table_document`."""
    from ..report.formats import frame

    return frame(table_document(db=db, model=model, **filters))


def table_document(
    *,
    db: str = DEFAULT_DB,
    model: str | None = None,
    devices: Sequence[str] = (),
    layer: str | None = None,
    phase: str | None = None,
) -> documents.Table:
    """Rows of one network or of all; one row a spec, candidate, device and policy.

    `model` is a source or SHA-256 as it was profiled; `devices` are backends or hardware
    keys. Raises `UsageError` if the store does not know the network.
    """
    from ..db.store import Store

    with Store.open(db, create=False, readonly=True) as store:
        return stored_table(store, model, devices, layer, phase)


def stored_table(
    store: Store,
    model: str | None = None,
    devices: Sequence[str] = (),
    layer: str | None = None,
    phase: str | None = None,
) -> documents.Table:
    """As `table_document`, from a store that is open."""
    if phase not in (None, *get_args(Phase)):
        raise UsageError(f"--phase must be {' or '.join(get_args(Phase))}, not {phase!r}")
    sha256 = _find_network(store, model)
    found = store.measurements(network_sha=sha256, layer=layer, phase=phase)
    return document_of(_on_devices(found, devices))


def _find_network(store: Store, model: str | None) -> str | None:
    if model is None:
        return None
    sha256 = store.find_network(model)
    if sha256 is None:
        known = ", ".join(sorted({source for _, source, _ in store.networks()})) or "none"
        raise UsageError(f"no network {model!r} was profiled into this store; known are: {known}")
    return sha256


def _on_devices(found: list[Measurement], devices: Sequence[str]) -> list[Measurement]:
    if not devices:
        return found
    return [
        m
        for m in found
        if m.fingerprint.backend in devices or m.fingerprint.hardware_key in devices
    ]
