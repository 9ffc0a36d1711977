"""What candidates cost the network, as far as an earlier search has asked for it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping

import numpy as np

from .. import documents
from ..db.store import Store
from ..records import Decomposition

Probes = Mapping[tuple[str, Decomposition], float]
"""The network error with that layer alone replaced in that way."""
Curve = Mapping[int, float]
"""The network error of a layer's kind by its multiply-accumulates."""


def note_errors(rows: Iterable[documents.Row], store: Store, network_sha256: str) -> None:
    """Set `network_error` of the rows of a network whose layers the latest search has probed.

    Searches probe in float32: what rounding adds to a candidate in int8 is not among it, so that
    rows in int8 get none.
    """
    probes = store.sensitivities.latest(network_sha256)
    if probes:
        curves = _curves(rows := list(rows), probes)
        for row in rows:
            if "int8" not in (row.policy.get("dtype"), row.decomposition.precision):
                row.network_error = _worst(row, curves)


def _curves(
    rows: Iterable[documents.Row], probes: Probes
) -> dict[tuple[str, str, int], dict[int, float]]:
    """Return a curve for each layer, kind and groups; rows say what a candidate computes."""
    curves: dict[tuple[str, str, int], dict[int, float]] = defaultdict(dict)
    for row in rows:
        of = row.decomposition.record()
        for layer in row.layers:
            if (error := probes.get((layer, of))) is not None:
                curves[layer, of.kind, of.groups][row.macs] = error
    return curves


def _worst(row: documents.Row, curves: Mapping[tuple[str, str, int], Curve]) -> float | None:
    """Return the largest error among the layers that share the row; None if none is known."""
    of = row.decomposition
    found = [
        _between(curves[layer, of.kind, of.groups], row.macs)
        for layer in row.layers
        if (layer, of.kind, of.groups) in curves
    ]
    return max((one for one in found if one is not None), default=None)


def _between(curve: Curve, macs: int) -> float | None:
    """Return the error at so many MACs; between two that were probed it follows a power of them,
    and beyond them it is not known."""
    known = sorted(curve)
    if not known[0] <= macs <= known[-1]:
        return None
    errors = np.log([max(curve[one], np.finfo(float).tiny) for one in known])
    return float(np.exp(np.interp(np.log(macs), np.log(known), errors)))
