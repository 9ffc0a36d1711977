"""Layers as a document lists them: of a network that is read, or of what the store knows of one."""

from __future__ import annotations

from collections import Counter

from .. import documents
from ..db.store import Store
from ..layering.parameter_accounts import ParameterAccounts
from ..lowrank import applicable_kinds
from ..records import LayerUse


def listed_layer(
    use: LayerUse, counts: Counter[str], accounts: ParameterAccounts
) -> documents.Layer:
    """Return a layer with its costs, and the kinds that apply or why none does. `counts`: how many
    layers have a spec, by its key."""
    spec = use.spec
    if spec is None:
        return documents.Layer(
            name=use.name,
            op=use.op,
            spec=None,
            spec_key=None,
            count=1,
            macs=accounts.macs.get(use.name, 0),
            params=accounts.layers[use.name],
            kinds=[],
            reason=use.reason,
            counted=use.name in accounts.macs,
        )
    kinds, reason = applicable_kinds(spec)
    return documents.Layer(
        name=use.name,
        op=use.op,
        spec=spec.to_json(),
        spec_key=spec.key,
        count=counts[spec.key],
        macs=sum(one.macs for one in use.every_call),
        params=spec.params,
        kinds=kinds,
        reason=use.reason or reason,
        calls=len(use.every_call),
    )


def stored_layers(store: Store, sha256: str) -> documents.Layers:
    """Return the layers of a network that was profiled into the store, without its file: of layers
    that cannot be decomposed neither costs nor parameters are known. Raises `StoreError` where the
    store does not know it."""
    uses = store.networks.layers(sha256)
    known = next(one for one in store.networks.all() if one[0] == sha256)
    model = documents.Model(source=known[1], sha256=sha256, input_shape=known[2])
    counts = Counter(use.spec.key for use in uses if use.spec)
    nothing = ParameterAccounts(layers=Counter(), others={}, macs={})
    return documents.Layers(
        model=model,
        layers=[listed_layer(use, counts, nothing) for use in uses],
    )
