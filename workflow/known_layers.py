"""Layers by name: one that no network has is said at once, with the nearest that there is."""

from __future__ import annotations

from fnmatch import fnmatchcase

from ..db.store import Store
from ..errors import UsageError, did_you_mean


def require_layer(store: Store, layer: str) -> None:
    """Raise `UsageError` where no network has a layer of that name or pattern."""
    names = list(dict.fromkeys(store.networks.layer_names()))
    if names and not any(layer == name or fnmatchcase(name, layer) for name in names):
        raise UsageError(f"no network here has a layer {layer!r}{did_you_mean(layer, names)}")
