"""`rankwise table`: from the store's measurements to rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, get_args

from .. import documents
from ..campaign.rows import document_of
from ..db.measurement_values import MeasurementFilter
from ..db.store import Store
from ..errors import UsageError
from ..options.keywords import keywords, takes
from ..options.measuring import TableOptions
from ..records import DeviceFingerprint, Phase
from ..report.formats import frame

if TYPE_CHECKING:
    import pandas as pd


@takes(TableOptions)
def table(options: TableOptions) -> pd.DataFrame:
    """The per-layer speedup table as a pandas frame; filters as in `table_document`."""
    return frame(table_document(**keywords(options)))


@takes(TableOptions)
def table_document(options: TableOptions) -> documents.Table:
    """Rows of one network or of all; one row a spec, candidate, device and policy.

    `model` is a source or SHA-256 as it was profiled; `devices` are backends or hardware
    keys. Raises `UsageError` if the store does not know the network.
    """
    with Store.open(options.db, create=False, readonly=True) as store:
        return stored_table(store, options.model, options.devices, options.layer, options.phase)


def stored_table(
    store: Store,
    model: str | None = None,
    devices: Sequence[str] = (),
    layer: str | None = None,
    phase: str | None = None,
) -> documents.Table:
    """Return what `table_document` does, from a store that is open."""
    if phase not in (None, *get_args(Phase)):
        raise UsageError(f"--phase must be {' or '.join(get_args(Phase))}, not {phase!r}")
    sha256 = _find_network(store, model)
    wanted = MeasurementFilter(network_sha=sha256, layer=layer, phase=phase)
    measurements = store.measurements.find(wanted)
    if devices:
        measurements = [one for one in measurements if _is_on(one.fingerprint, devices)]
    return document_of(measurements)


def _find_network(store: Store, model: str | None) -> str | None:
    if model is None:
        return None
    sha256 = store.networks.find(model)
    if sha256 is None:
        known = ", ".join(sorted({source for _, source, _ in store.networks.all()})) or "none"
        raise UsageError(f"no network {model!r} was profiled into this store; known are: {known}")
    return sha256


def _is_on(fingerprint: DeviceFingerprint, devices: Sequence[str]) -> bool:
    return fingerprint.backend in devices or fingerprint.hardware_key in devices
