"""Devices, checks of the machine, a network's layers and a profiling run as text."""

from __future__ import annotations

from rich.console import Console

from .. import documents
from .cells import decomposition, number, shape
from .table_text import print_failures, print_rows


def devices(document: documents.Devices, console: Console) -> None:
    """Print which backends work here."""
    print_rows(
        console,
        ("backend", "", "device", "reason"),
        (
            [d.backend, "PASS" if d.available else "-", _chip(d.fingerprint), d.reason]
            for d in document.devices
        ),
    )


def _chip(fingerprint: documents.Fingerprint | None) -> str:
    if fingerprint is None:
        return ""
    facts = fingerprint.hardware
    return " ".join([facts.get("chip", ""), f"({fingerprint.hardware_key[:6]})"]).strip()


def doctor(document: documents.Doctor, console: Console) -> None:
    """Print the checks of the machine."""
    print_rows(
        console,
        ("check", "", "found", "advice"),
        ([c.name, "ok" if c.ok else "FAIL", c.value, c.advice] for c in document.checks),
        style=lambda line: "" if line[1] == "ok" else "red",
    )
    console.print(f"this machine is {'' if document.fit else 'not '}fit to measure")


def layers(document: documents.Layers, console: Console) -> None:
    """Print a network's layers, with what a rule decides for them if one was asked."""
    if document.ranking is not None:
        _ranked_layers(document, document.ranking, console)
    else:
        _plain_layers(document, console)
    for layer in document.layers:
        if layer.note:
            console.print(f"{layer.name}: {layer.note}", markup=False)
    if document.parameters is not None:
        _parameters(document.parameters, console)


def _plain_layers(document: documents.Layers, console: Console) -> None:
    print_rows(
        console,
        ("layer", "x", "op", "shape", "MMACs", "params", "kinds or reason"),
        (_layer_cells(layer) for layer in document.layers),
        right=("x", "MMACs", "params"),
    )
    total = sum(layer.macs for layer in document.layers)
    distinct = len({layer.spec_key for layer in document.layers if layer.spec_key})
    console.print(
        f"{len(document.layers)} layers, {distinct} distinct specs, {total / 1e6:.1f} MMACs"
    )


def _parameters(counts: documents.Parameters, console: Console) -> None:
    """Print where all parameters are; the last line says how many can be decomposed."""
    if counts.products_macs:
        macs = f"{counts.products_macs / 1e6:.1f} MMACs"
        console.print(f"products of two computed tensors (attention): {macs}")
    if counts.other_layers:
        console.print(f"layers that cannot be decomposed: {counts.other_layers} parameters")
    for other in counts.others:
        holders = ", ".join(other.holders)
        console.print(f"{other.kind} ({holders}): {other.parameters} parameters", markup=False)
    share = counts.decomposable / counts.total if counts.total else 0.0
    console.print(
        f"{counts.decomposable} of {counts.total} parameters in layers that can be decomposed "
        f"({share:.1%})"
    )


def _ranked_layers(
    document: documents.Layers, ranking: documents.Ranking, console: Console
) -> None:
    print_rows(
        console,
        ("layer", "op", "shape", "decision", "MMACs", "of", "params", "of", "error", "reason"),
        (_ranked_cells(layer) for layer in document.layers),
        right=("MMACs", "of", "params", "error"),
    )
    layers = document.layers
    macs, params = (sum(getattr(layer, name) for layer in layers) for name in ("macs", "params"))
    left = [layer.ranked or layer for layer in layers]
    now_macs, now_params = sum(one.macs for one in left), sum(one.params for one in left)
    settings = ", ".join(f"{name} {value:g}" for name, value in ranking.parameters.items())
    console.print(
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


def profile(document: documents.Profile, console: Console) -> None:
    """Print what a profiling run has measured."""
    verdicts = ", ".join(f"{n} {verdict}" for verdict, n in sorted(document.verdicts.items()))
    console.print(
        f"{document.model.source} on {document.device.backend}: {document.specs} distinct layers, "
        f"{document.candidates} candidates; measured {document.measured}, already there "
        f"{document.already_measured}, {document.samples} samples in {document.elapsed_s:.1f} s"
    )
    console.print(f"verdicts: {verdicts or 'none'}")
    for one in document.staircases:
        where = f"{one.layer} {one.kind} rank {one.axis + 1}"
        console.print(f"{where}: {one.text} ({one.measured} measured)", markup=False)
    print_failures(console, document.failures)
    if document.failed:
        console.print(f"{document.failed} candidates failed in this run", style="red")
    if not document.complete:
        console.print("not complete: time ran out; run again to go on", style="yellow")
