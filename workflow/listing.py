"""`rankwise devices` and `rankwise layers`: what is there, before anything is measured."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import documents
from ..records import LayerUse
from .setting import load, model_note

if TYPE_CHECKING:
    from ..profiler.roll_call import Present


def devices() -> documents.Devices:
    """Every known backend: runs a tiny computation; PASS, or the reason why not."""
    from ..profiler.roll_call import roll_call

    return documents.Devices(devices=[_device(one) for one in roll_call()])


def _device(one: Present) -> documents.Device:
    fingerprint = documents.Fingerprint.of(one.fingerprint) if one.fingerprint else None
    return documents.Device(
        backend=one.name, available=not one.reason, reason=one.reason, fingerprint=fingerprint
    )


def layers(
    model: Any,
    example_input: Any = None,
    *,
    weights: Path | None = None,
    input_shape: Sequence[int] | None = None,
    batch: int | None = None,
) -> documents.Layers:
    """The network's layers, their specs, costs, and which kinds apply or why none does."""
    network = load(
        model, example_input=example_input, weights=weights, input_shape=input_shape, batch=batch
    )
    counts = Counter(use.spec.key for use in network.layers if use.spec)
    return documents.Layers(
        model=model_note(network), layers=[_layer(use, counts) for use in network.layers]
    )


def _layer(use: LayerUse, counts: Counter[str]) -> documents.Layer:
    from ..lowrank import applicable_kinds

    spec = use.spec
    if spec is None:
        return documents.Layer(
            name=use.name,
            op=use.op,
            spec=None,
            spec_key=None,
            count=1,
            macs=0,
            params=0,
            kinds=[],
            reason=use.reason,
        )
    kinds, reason = applicable_kinds(spec)
    return documents.Layer(
        name=use.name,
        op=use.op,
        spec=spec.to_json(),
        spec_key=spec.key,
        count=counts[spec.key],
        macs=spec.macs,
        params=spec.params,
        kinds=kinds,
        reason=use.reason or reason,
    )
