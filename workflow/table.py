"""`rankwise table`: from the store's measurements to rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, get_args

from .. import documents
from ..campaign.rows import document_of
from ..collector import resting
from ..db.measurement_values import MeasurementFilter
from ..db.store import Store
from ..errors import UsageError, did_you_mean
from ..options.keywords import keywords, takes
from ..options.measuring import TableOptions
from ..records import Phase
from ..report.formats import frame
from ..search.boards import OddBoard, odd_boards
from .known_errors import note_errors
from .known_layers import require_layer

if TYPE_CHECKING:
    import pandas as pd


@takes(TableOptions)
def table(options: TableOptions) -> pd.DataFrame:
    """The per-layer speedup table as a pandas frame: a row a spec, candidate, device and policy.

    For its keywords see `table_document`. Columns::

        column                dtype   unit  what
        layer                 str           the first layer of that spec
        kind                  str           the candidate's kind of decomposition
        ranks                 str           its ranks, such as 48x64
        groups                int64         its groups
        precision             str           float32, or empty: policy_dtype
        op                    str           the layer's operator
        spec_key              str           hash of the layer's spec
        count                 int64         layers that share the spec
        latency_s             float64 s     its latency; NaN where only the saving is known
        original_latency_s    float64 s     the layer's own latency; NaN as before
        saving_s              float64 s     original less candidate, paired within rounds
        speedup               float64 1     original / candidate; NaN as before
        speedup_low           float64 1     lower end of its 95% interval
        speedup_high          float64 1     upper end of its 95% interval
        verdict               str           FASTER, SLOWER, SAME or UNDECIDED
        macs                  int64   MACs  the candidate's, for one example, never doubled
        original_macs         int64   MACs  the layer's own
        params                int64         the candidate's parameters
        measured_at           str           when, in UTC
        stale                 bool          whether measured with other software than is there now
        boards                int64         boards of the device's kind that measured it
        measurement_id        str           leads to the raw samples
        network_error         float64       what it alone does to the network; NaN if not known
        layers                str           all layers of that spec, separated by blanks
        backend               str           device family
        hardware_key          str           hash of the hardware
        software_key          str           hash of driver, runtime and libraries
        policy_phase          str           inference or training
        policy_context        str           isolated or marginal
        policy_cache          str           hot or cold
        policy_execution      str           how the backend runs it
        policy_batch          int64         examples at once
        policy_dtype          str           type of weights and activations
        policy_numeric_mode   str           such as tf32
        policy_threads        int64         threads that compute; 0 where there is no such notion
        policy_frozen         str           name of the frozen set, in training

    >>> frame = rw.table()
    >>> frame[frame.verdict == "FASTER"].layer.unique().tolist()
    ['conv']
    >>> frame.loc[frame.groupby("layer").speedup.idxmax(), ["layer", "kind", "ranks"]].values
    array([['conv', 'spatial_svd', '16']], dtype=object)
    """
    return frame(table_document(**keywords(options)))


@takes(TableOptions)
def table_document(options: TableOptions) -> documents.Table:
    """Rows of one network or of all; one row a spec, candidate, device and policy.

    `model` is a source or SHA-256 as it was profiled; `devices` are backends or hardware
    keys. Raises `UsageError` if the store does not know the network.
    """
    with Store.open(options.db, create=False, readonly=True) as store:
        if options.layer is not None:
            require_layer(store, options.layer)
        wanted = (options.model, options.devices, options.layer, options.phase, options.dtypes)
        return stored_table(store, *wanted)


def stored_table(
    store: Store,
    model: str | None = None,
    devices: Sequence[str] = (),
    layer: str | None = None,
    phase: str | None = None,
    dtypes: Sequence[str] = (),
) -> documents.Table:
    """Return what `table_document` does, from a store that is open."""
    if phase not in (None, *get_args(Phase)):
        raise UsageError(f"--phase must be {' or '.join(get_args(Phase))}, not {phase!r}")
    known = store.networks.all()
    sha256 = (
        _find_network(store, model) if model or len(known) > 1 else known[0][0] if known else None
    )
    wanted = MeasurementFilter(
        network_sha=sha256,
        layer=layer,
        phase=phase,
        devices=tuple(devices) or None,
        dtypes=tuple(dtypes) or None,
    )
    of = sorted({source for sha, source, _ in known if sha256 in (None, sha)})
    with resting():
        measurements = store.measurements.find(wanted)
        document = document_of(measurements)
        odd = [_odd_board(store, one) for one in odd_boards(measurements)]
    if sha256 is not None:
        note_errors(document.rows, store, sha256)
    return document.model_copy(update={"networks": of, "odd_boards": odd})


def _odd_board(store: Store, one: OddBoard) -> documents.OddBoard:
    numbers = {name: getattr(one, name) for name in ("quantity", "ratio", "low", "high", "specs")}
    return documents.OddBoard(
        board=one.board,
        hosts=store.measurements.hosts_of(one.board),
        device=documents.RowDevice.of(one.fingerprint),
        policy=one.policy.to_json(),
        **numbers,
    )


def _find_network(store: Store, model: str | None) -> str | None:
    if model is None:
        return None
    sha256 = store.networks.find(model)
    if sha256 is None:
        sources = {source for _, source, _ in store.networks.all()}
        known, hint = ", ".join(sorted(sources)) or "none", did_you_mean(model, sources)
        raise UsageError(
            f"no network {model!r} was profiled into this store{hint}; known are: {known}"
        )
    return sha256
