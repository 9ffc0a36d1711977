"""Rows of the speedup table, from what the store has measured."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from .. import documents
from ..db.measurement_values import MeasurementFilter
from ..db.store import Store
from ..lowrank import lower
from ..records import Decomposition, LayerSpec, LayerUse, Measurement, MeasurementPolicy
from ..search.table import TableRow, between_neighbours, derived, failed_rows, speedup_table

if TYPE_CHECKING:
    from ..models.network import Network
    from .setup import Setup


def measured(store: Store, setup: Setup) -> list[Measurement]:
    """Return all that the store has of the setup's network, device and policy."""
    wanted = MeasurementFilter(
        network_sha=known_hash(store, setup.network),
        fingerprint_key=setup.fingerprint.key,
        policy_key=setup.policy.key,
    )
    return store.measurements.find(wanted)


def known_hash(store: Store, network: Network) -> str:
    """Return the network's hash, or the one that earlier versions stored it under."""
    known = {sha256 for sha256, _, _ in store.networks.all()}
    earlier = network.sha256 not in known and network.earlier_sha256 in known
    return network.earlier_sha256 if earlier else network.sha256


def _was_another(store: Store, network: Network) -> bool:
    """Whether the store knows the source, as other networks."""
    named = {sha256 for sha256, source, _ in store.networks.all() if source == network.source}
    return bool(named) and not named & {network.sha256, network.earlier_sha256}


def why_nothing(store: Store, setup: Setup) -> str:
    """Return one sentence for when `measured` is empty: what else there is, and what to run."""
    policy, here = setup.policy, setup.fingerprint
    source, backend = setup.network.source, setup.backend_text
    asked = f"{source} on {backend}"
    words = f"rankwise profile {source} --backend {backend}"
    words += " --phase training" if policy.phase == "training" else ""
    words += f" --dtype {policy.dtype}" if policy.dtype != "float32" else ""
    wanted = MeasurementFilter(
        network_sha=known_hash(store, setup.network), backend=here.backend, phase=policy.phase
    )
    others = store.measurements.find(wanted)
    same = [one for one in others if one.fingerprint.hardware_key == here.hardware_key]
    if any(one.policy == policy for one in same):
        return f"all rows of {asked} are of other software: run `{words} --refresh`"
    said = f"phase {policy.phase}, {_described(policy)}"
    known = {_described(one.policy) for one in same}
    but = f"; there are rows with {' and with '.join(sorted(known))}" if known else ""
    but = but or ("; there are rows of other hardware" if others else "")
    if not others and _was_another(store, setup.network):
        but = (
            "; what was measured under that name is another network: its weights, settings or code "
            "have changed since, or it draws other weights each time it is made (let it load them, "
            "or draw them from a fixed seed)"
        )
    return f"nothing was measured for {asked} ({said}){but}: run `{words}`"


def _described(policy: MeasurementPolicy) -> str:
    return f"threads {policy.threads}, batch {policy.batch}, {policy.dtype}"


def rows_of(measurements: Sequence[Measurement]) -> list[TableRow]:
    """Return savings, speedups and verdicts; see `search.table`."""
    return speedup_table(measurements, costs)


def costs(spec: LayerSpec, decomposition: Decomposition) -> tuple[int, int]:
    """Return the MACs and parameters of a layer once it is decomposed."""
    chain = lower(spec, decomposition)
    return chain.macs, chain.params


def use_costs(use: LayerUse, decomposition: Decomposition) -> tuple[int, int]:
    """Return the MACs over all calls of a layer, and its parameters, once it is decomposed, with
    those that stay because others have them."""
    each = [costs(spec, decomposition) for spec in use.every_call]
    stays = use.shared if decomposition.has_factors else 0
    return sum(macs for macs, _ in each), max((params for _, params in each), default=0) + stays


def document_of(measurements: Sequence[Measurement]) -> documents.Table:
    """Return the table's document, failures included."""
    parts = _Parts()
    return documents.Table.model_construct(
        rows=[_row(values, parts) for values in derived(measurements, costs)],
        failures=[documents.Failure.of(row) for row in failed_rows(measurements)],
        networks=[],
    )


class _Parts:
    """What many rows share, made once each: a store answers with tens of thousands of rows."""

    def __init__(self) -> None:
        self.spec = cache(LayerSpec.to_json)
        self.policy = cache(MeasurementPolicy.to_json)
        self.decomposition = cache(documents.Decomposition.of)
        self.device = cache(_device)


_device_keys = itemgetter(*documents.RowDevice.model_fields)


def _device(backend: str, hardware_key: str, software_key: str) -> documents.RowDevice:
    return documents.RowDevice(
        backend=backend, hardware_key=hardware_key, software_key=software_key
    )


_OWN_TIMES = ("latency_s", "original_latency_s", "speedup", "speedup_low", "speedup_high")
"""Names of the columns that are empty where a layer was timed between neighbours."""
_FIELDS = tuple(documents.Row.model_fields)
_in_order = itemgetter(*_FIELDS)


def _row(values: dict[str, Any], parts: _Parts) -> documents.Row:
    """Return the row's document, of the fields of a `TableRow`."""
    if between_neighbours(values["spec"], values["policy"]):
        values.update(dict.fromkeys(_OWN_TIMES))
    values["layers"] = list(values["layers"])
    values["spec"] = parts.spec(values["spec"])
    values["decomposition"] = parts.decomposition(values["decomposition"])
    values["device"] = parts.device(*_device_keys(values))
    values["policy"] = parts.policy(values["policy"])
    values["verdict"] = values["verdict"].value
    values["network_error"] = None
    return documents.Row.of_own(dict(zip(_FIELDS, _in_order(values), strict=True)))
