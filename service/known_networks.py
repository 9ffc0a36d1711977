"""Networks that a service can show: the zoo's, those that were uploaded, and those that were
profiled into its store from elsewhere, of which it has no file."""

from __future__ import annotations

from .. import documents
from ..errors import UsageError
from ..jobs.artifacts import NetworkEntry
from ..workflow.listed_layers import stored_layers
from .context import Context
from .models import Network, NetworkGraph


def listed(here: Context) -> list[Network]:
    """Return all of them: the zoo's first, those of the store last."""
    entries, measured = here.artifacts.networks(), here.measured_networks()
    known = {entry.sha256 for entry in entries}
    return [
        *(_with_file(entry, measured) for entry in entries),
        *(one for one in _stored(here) if one.sha256 not in known),
    ]


def _with_file(entry: NetworkEntry, measured: set[str]) -> Network:
    network = Network.model_validate(entry)
    return network.model_copy(update={"measured": entry.sha256 in measured})


def _stored(here: Context) -> list[Network]:
    counts = here.store.networks.layer_counts()
    return [
        Network(
            id=sha256,
            name=source,
            format="store",
            architecture=None,
            bytes=0,
            added_at=None,
            sha256=sha256,
            input_shape=shape,
            layers=counts.get(sha256, 0),
            measured=True,
        )
        for sha256, source, shape in here.store.networks.all()
    ]


def is_stored_only(here: Context, network_id: str) -> bool:
    """Whether it is a network of the store, whose file is not here."""
    if not here.measured(network_id):
        return False
    try:
        here.artifacts.network(network_id)
    except UsageError:
        return True
    return False


def one(here: Context, network_id: str) -> Network:
    """Return one of them. Raises 404."""
    if is_stored_only(here, network_id):
        return next(known for known in _stored(here) if known.id == network_id)
    return _with_file(here.network(network_id), here.measured_networks())


def layers(here: Context, network_id: str) -> documents.Layers:
    """Return a network's layers. Raises 404."""
    if is_stored_only(here, network_id):
        return stored_layers(here.store, network_id)
    return documents.Layers.model_validate(here.described(network_id).layers)


def graph(here: Context, network_id: str) -> NetworkGraph:
    """Return how its layers follow one another; the store only knows their order. Raises 404."""
    if is_stored_only(here, network_id):
        document = stored_layers(here.store, network_id)
        return NetworkGraph.of([one.model_dump() for one in document.layers], {})
    entry = here.described(network_id, graph=True)
    return NetworkGraph.of((entry.layers or {}).get("layers", ()), entry.graph or {})
