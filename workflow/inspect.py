"""`rankwise devices` and `rankwise layers`: what is there, before anything is measured."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import documents
from ..campaign.setup import load, model_note
from ..errors import UsageError
from ..records import LayerUse

if TYPE_CHECKING:
    from ..models.network import Network
    from ..profiler.probe_backends import Present


def devices() -> documents.Devices:
    """Every known backend: runs a tiny computation; PASS, or the reason why not."""
    from ..profiler.probe_backends import probe_backends

    return documents.Devices(devices=[_device(one) for one in probe_backends()])


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
    from ..planner.ranking import make_ranking, ranked_layers

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


def write_spectra(
    network: Network,
    ranked: dict[str, documents.RankedLayer],
    kinds: Sequence[str],
    selected: Collection[str],
    path: Path,
) -> None:
    """The singular values behind each layer's ranks, with the ranks that were chosen."""
    from ..lowrank.ranks import spectra
    from ..planner.ranking import kind_of
    from ..report.spectra import Panel, write_picture

    panels = []
    for use in network.layers:
        kind = kind_of(use, kinds) if use.name in selected else ""
        if use.spec is None or not kind:
            continue
        weight, _ = network.weights(use.name)
        curves = [list(map(float, values)) for values in spectra(use.spec, kind, weight)]
        ranks = ranked[use.name].decomposition.ranks if use.name in ranked else ()
        panels.append(Panel(use.name, kind, curves, ranks))
    write_picture(panels, path)
