"""`rankwise devices` and `rankwise layers`: what is there, before anything is measured."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from .. import documents
from ..errors import RankwiseError, UsageError
from ..records import LayerSpec, LayerUse, MeasurementPolicy
from .setting import load, model_note

TINY = LayerSpec("conv2d", 1, 1, (1, 1, 3), (1, 3), bias=False)
"""Three elements in, one out: enough to see a backend work."""


def devices() -> documents.Devices:
    """Every known backend: runs a tiny computation; PASS, or the reason why not."""
    from ..backends.registry import backend_names

    return documents.Devices(devices=[_device(name) for name in backend_names()])


def _device(name: str) -> documents.Device:
    from ..backends.registry import open_backend

    try:
        backend = open_backend(name)
        reason = backend.probe() or _try(backend)
        fingerprint = None if reason else documents.Fingerprint.of(backend.fingerprint())
    except RankwiseError as error:
        reason, fingerprint = str(error), None
    return documents.Device(
        backend=name, available=not reason, reason=reason, fingerprint=fingerprint
    )


def _try(backend: Any) -> str:
    """Empty if three elements are computed and timed; else what went wrong."""
    from ..backends.base import ChainWorkload, random_input
    from ..ops.chain import Chain

    runner = backend.prepare(
        ChainWorkload("tiny", Chain((TINY,))), backend.resolve_policy(MeasurementPolicy())
    )
    try:
        outputs = runner.compute([random_input((1, *TINY.input_shape))])
        seconds = runner.run(1)
    finally:
        runner.close()
    if outputs[0].shape != (1, *TINY.output_shape):
        return f"computed an output of shape {outputs[0].shape}"
    return "" if all(s > 0 for s in seconds.values()) else "its clock stood still"


def layers(
    model: Any,
    example_input: Any = None,
    *,
    weights: Path | None = None,
    input_shape: Sequence[int] | None = None,
    batch: int | None = None,
    ranks: str | None = None,
    mode: str | None = None,
    spectra: Path | None = None,
    **parameters: Any,
) -> documents.Layers:
    """The network's layers, their specs, costs, and which kinds apply or why none does.

    With `ranks` (vbmf, pr, energy, fixed) also the ranks that this rule chooses for the layers
    of a compression mode; its `parameters` are those of `ranking.make_ranking`. `spectra` is a
    picture of singular values (.svg, .png) to write. Raises `UsageError` and its children.
    """
    from .ranking import make_ranking, ranked_layers, write_spectra

    if ranks is None and (mode is not None or any(v is not None for v in parameters.values())):
        raise UsageError("a mode or a rule's parameters need a rule: --ranks vbmf, pr, energy")
    ranking = make_ranking(ranks or "energy", mode=mode or "vanilla", **parameters)
    network = load(
        model, example_input=example_input, weights=weights, input_shape=input_shape, batch=batch
    )
    ranked = ranked_layers(network, ranking) if ranks else {}
    if spectra is not None:
        write_spectra(network, ranked, ranking.kinds, ranking.mode.select(network.layers), spectra)
    counts = Counter(use.spec.key for use in network.layers if use.spec)
    return documents.Layers(
        model=model_note(network),
        ranking=ranking.note if ranks else None,
        layers=[
            _layer(use, counts).model_copy(update={"ranked": ranked.get(use.name)})
            for use in network.layers
        ],
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
