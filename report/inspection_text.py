"""Devices, checks of the machine, a network's layers and a profiling run: what is shown."""

from __future__ import annotations

from collections.abc import Iterator

from .. import documents
from .cells import decomposition, number, shape
from .shown import Rows, Sentence, Shown
from .table_text import failed


def devices(document: documents.Devices) -> Iterator[Shown]:
    """Show which backends work here."""
    yield Rows(
        ("backend", "", "device", "int8 by", "reason"),
        (
            [d.backend, "PASS" if d.available else "-", *_chip(d.fingerprint), d.reason]
            for d in document.devices
        ),
    )


def chip(fingerprint: documents.Fingerprint | None) -> str:
    """Return the name of a device's chip and the start of its hardware key."""
    if fingerprint is None:
        return ""
    name = [fingerprint.hardware.get("chip", ""), f"({fingerprint.hardware_key[:6]})"]
    return " ".join(name).strip()


def _chip(fingerprint: documents.Fingerprint | None) -> tuple[str, str]:
    """Return its name, and what it multiplies int8 by."""
    return chip(fingerprint), fingerprint.integer_kernels if fingerprint else ""


def doctor(document: documents.Doctor) -> Iterator[Shown]:
    """Show the checks of the machine."""
    yield Rows(
        ("check", "", "found", "advice"),
        ([c.name, "ok" if c.ok else "FAIL", c.value, c.advice] for c in document.checks),
        style=lambda line: "" if line[1] == "ok" else "red",
    )
    yield Sentence(f"this machine is {'' if document.fit else 'not '}fit to measure")


def layers(document: documents.Layers) -> Iterator[Shown]:
    """Show a network's layers, with what a rule decides for them if one was asked."""
    if document.ranking is not None:
        yield from _ranked_layers(document, document.ranking)
    else:
        yield from _plain_layers(document)
    for layer in document.layers:
        if layer.note:
            yield Sentence(f"{layer.name}: {layer.note}")
    if document.parameters is not None:
        yield from _parameters(document.parameters)


def _plain_layers(document: documents.Layers) -> Iterator[Shown]:
    yield Rows(
        ("layer", "x", "op", "shape", "MMACs", "params", "kinds or reason"),
        (_layer_cells(layer) for layer in document.layers),
        right=("x", "MMACs", "params"),
    )
    total = sum(layer.macs for layer in document.layers)
    distinct = len({layer.spec_key for layer in document.layers if layer.spec_key})
    yield Sentence(
        f"{len(document.layers)} layers, {distinct} distinct specs, {total / 1e6:.1f} MMACs"
    )


def _parameters(counts: documents.Parameters) -> Iterator[Shown]:
    """Show where all parameters are; the last line says how many can be decomposed."""
    if counts.products_macs:
        macs = f"{counts.products_macs / 1e6:.1f} MMACs"
        yield Sentence(f"products of two computed tensors (attention): {macs}")
    if counts.other_layers:
        yield Sentence(f"layers that cannot be decomposed: {counts.other_layers} parameters")
    for other in counts.others:
        holders = ", ".join(other.holders)
        yield Sentence(f"{other.kind} ({holders}): {other.parameters} parameters")
    share = counts.decomposable / counts.total if counts.total else 0.0
    yield Sentence(
        f"{counts.decomposable} of {counts.total} parameters in layers that can be decomposed "
        f"({share:.1%})"
    )


def _ranked_layers(document: documents.Layers, ranking: documents.Ranking) -> Iterator[Shown]:
    yield Rows(
        ("layer", "op", "shape", "decision", "MMACs", "of", "params", "of", "error", "reason"),
        (_ranked_cells(layer) for layer in document.layers),
        right=("MMACs", "of", "params", "error"),
    )
    layers = document.layers
    macs, params = (sum(getattr(layer, name) for layer in layers) for name in ("macs", "params"))
    left = [layer.ranked or layer for layer in layers]
    now_macs, now_params = sum(one.macs for one in left), sum(one.params for one in left)
    settings = ", ".join(f"{name} {value:g}" for name, value in ranking.parameters.items())
    yield Sentence(
        f"{ranking.rule} ({settings}), mode {ranking.mode}: {now_macs / 1e6:.1f} of "
        f"{macs / 1e6:.1f} MMACs, {now_params} of {params} parameters"
    )


def _ranked_cells(layer: documents.Layer) -> list[str]:
    start = [layer.name, layer.op, shape(layer.spec)]
    ranked = layer.ranked
    if ranked is None:
        return [*start, "", "", f"{layer.macs / 1e6:.1f}", "", str(layer.params), "", layer.reason]
    changed = ranked.decomposition.kind != "original"
    return [
        *start,
        decomposition(ranked.decomposition),
        f"{ranked.macs / 1e6:.1f}" if changed else "",
        f"{layer.macs / 1e6:.1f}",
        str(ranked.params) if changed else "",
        str(layer.params),
        number(ranked.layer_error) if changed else "",
        ranked.reason,
    ]


def _layer_cells(layer: documents.Layer) -> list[str]:
    return [
        layer.name,
        str(layer.count),
        layer.op,
        shape(layer.spec),
        f"{layer.macs / 1e6:.1f}" if layer.counted else "-",
        str(layer.params),
        " ".join(layer.kinds) or layer.reason,
    ]


def profile(document: documents.Profile) -> Iterator[Shown]:
    """Show what a profiling run has measured."""
    verdicts = ", ".join(f"{n} {verdict}" for verdict, n in sorted(document.verdicts.items()))
    part = "" if document.part is None else f", part {document.part}"
    yield Sentence(
        f"{document.model.source} on {document.device.backend}{part}: "
        f"{document.specs} distinct layers, {document.candidates} candidates; "
        f"measured {document.measured}, already there {document.already_measured}, "
        f"{document.samples} samples in {document.elapsed_s:.1f} s"
    )
    yield Sentence(f"verdicts: {verdicts or 'none'}")
    for one in document.staircases:
        where = f"{one.layer} {one.kind} rank {one.axis + 1}"
        yield Sentence(f"{where}: {one.text} ({one.measured} measured)")
    yield from failed(document.failures)
    if document.failed:
        yield Sentence(f"{document.failed} candidates failed in this run", style="red")
    if not document.complete:
        yield Sentence("not complete: time ran out; run again to go on", style="yellow")
