"""`rankwise devices` and `rankwise layers`: what is there, before anything is measured."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from pathlib import Path

from .. import documents
from ..errors import UsageError
from ..integrity.denormal_weights import denormal_notes, joined
from ..layering.parameter_accounts import KINDS, ParameterAccounts
from ..lowrank.ranks import spectra
from ..models.network import Network
from ..models.notes import model_note
from ..models.source import network_of
from ..options.keywords import arguments_for, takes
from ..options.measuring import DevicesOptions, LayersOptions
from ..planner.ranking import kind_of, make_ranking, ranked_layers
from ..profiler import probe_backends
from ..report.pictures.figure import check_picture
from ..report.pictures.spectra import Spectrum, spectra_picture
from .listed_layers import listed_layer


@takes(DevicesOptions)
def devices(_options: DevicesOptions) -> documents.Devices:
    """Every known backend: runs a tiny computation; PASS, or the reason why not.

    >>> found = rw.devices()
    >>> [one.backend for one in found.devices if one.available and one.backend == "fake"]
    ['fake']
    """
    return documents.Devices(devices=[_device(one) for one in probe_backends.probe_backends()])


def _device(one: probe_backends.ProbedBackend) -> documents.Device:
    fingerprint = documents.Fingerprint.of(one.fingerprint) if one.fingerprint else None
    return documents.Device(
        backend=one.name, available=not one.reason, reason=one.reason, fingerprint=fingerprint
    )


@takes(LayersOptions)
def layers(options: LayersOptions) -> documents.Layers:
    """The network's layers, their specs, costs, and which kinds apply or why none does.

    With `ranks` (vbmf, pr, energy, fixed) also the ranks that this rule chooses for the layers
    of a compression mode; the rule's parameters are those of `ranking.make_ranking`. `spectra` is a
    picture of singular values (.png, .svg, .pdf) to write. Raises `UsageError` and its children.

    >>> found = rw.layers(network, example)
    >>> found
    <Layers: small:Small: 2 layers, 1.2 MMACs>
    >>> [(one.name, one.macs, one.params) for one in found.layers]
    [('conv', 1179648, 18496), ('head', 640, 650)]
    >>> rw.layers(network, example, ranks="energy").layers[0].ranked.decomposition.ranks
    (28, 50)
    """
    parameters = arguments_for(make_ranking, options)
    if options.ranks is None and any(value is not None for value in parameters.values()):
        raise UsageError("a mode or a rule's parameters need a rule: --ranks vbmf, pr, energy")
    if options.spectra is not None:
        check_picture(options.spectra)
    parameters["mode"] = options.mode or "vanilla"
    ranking = make_ranking(options.ranks or "energy", **parameters)
    network = network_of(**arguments_for(network_of, options))
    ranked = ranked_layers(network, ranking) if options.ranks else {}
    if options.spectra is not None:
        write_spectra(
            network, ranked, ranking.kinds, ranking.mode.select(network.layers), options.spectra
        )
    counts = Counter(use.spec.key for use in network.layers if use.spec)
    notes = joined(network.notes, denormal_notes(network.layers, network.weights))
    listed = [
        listed_layer(use, counts, network.accounts).model_copy(
            update={"ranked": ranked.get(use.name), "note": notes.get(use.name, "")}
        )
        for use in network.layers
    ]
    return documents.Layers(
        model=model_note(network),
        ranking=ranking.note if options.ranks else None,
        layers=listed,
        parameters=_parameters(network.accounts, [one.name for one in listed if one.kinds]),
    )


def _parameters(accounts: ParameterAccounts, decomposable: Collection[str]) -> documents.Parameters:
    inside = sum(accounts.layers[name] for name in decomposable)
    held = {kind: accounts.of_kind(kind) for kind in KINDS}
    return documents.Parameters(
        total=accounts.total,
        decomposable=inside,
        other_layers=sum(accounts.layers.values()) - inside,
        others=[
            documents.OtherParameters(kind=kind, holders=list(of), parameters=sum(of.values()))
            for kind, of in held.items()
            if of
        ],
        products_macs=accounts.products_macs,
    )


def write_spectra(
    network: Network,
    ranked: dict[str, documents.RankedLayer],
    kinds: Sequence[str],
    selected: Collection[str],
    path: Path,
) -> None:
    """The singular values behind each layer's ranks, with the ranks that were chosen."""
    found = []
    for use in network.layers:
        kind = kind_of(use, kinds) if use.name in selected else ""
        if use.spec is None or not kind:
            continue
        weight, _ = network.weights(use.name)
        curves = [list(map(float, values)) for values in spectra(use.spec, kind, weight)]
        ranks = ranked[use.name].decomposition.ranks if use.name in ranked else ()
        found.append(Spectrum(use.name, kind, curves, ranks))
    spectra_picture(found, f"Singular values of {network.source}").write(path)
