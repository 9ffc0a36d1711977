"""Documents as text for a terminal."""

from __future__ import annotations

import shutil
import sys
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol

from rich.console import Console

from .. import documents
from .columns import aligned

COLUMNS = ("layer", "x", "decomposition", "device", "latency", "speedup", "interval", "verdict")
_STYLE = {"FASTER": "green", "SLOWER": "red", "SAME": "dim", "UNDECIDED": "yellow"}


def show(document: documents.Document) -> None:
    """Print a document for a person to read on standard output."""
    console = Console(highlight=False, emoji=False, width=_width())
    _PRINTERS[type(document)](document, console)


def _width() -> int | None:
    """Piped output is not squeezed into 80 columns."""
    return None if sys.stdout.isatty() else max(160, shutil.get_terminal_size().columns)


def duration(seconds: float) -> str:
    """A latency with three digits and the unit that suits it."""
    for unit, size in (("s", 1.0), ("ms", 1e-3)):
        if seconds >= size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds / 1e-6:.3g} us"


def known(value: float | None) -> float:
    """A number of a row that was timed (see `timed`)."""
    assert value is not None
    return value


def timed(rows: Iterable[documents.Row]) -> list[documents.Row]:
    """Rows with latencies and a speedup: among others (the context `marginal`), a layer whose
    input and output differ has a saving only."""
    return [row for row in rows if row.latency_s is not None and row.speedup is not None]


def number(value: float | None, digits: int = 3) -> str:
    return "" if value is None else f"{value:.{digits}f}"


def decomposition(value: documents.Decomposition) -> str:
    return str(value.record())


def table_lines(table: documents.Table) -> list[list[str]]:
    """The speedup table's rows, by `COLUMNS`. Parts of the policy that are not the same in all
    rows (threads, phase, ...) stand beside the device."""
    policies = [row.policy for row in table.rows]
    told = [name for name in (policies[0] if policies else ()) if not _alike(policies, name)]
    return [_cells(row, told) for row in table.rows]


def _alike(policies: Sequence[Mapping[str, Any]], name: str) -> bool:
    return all(policy.get(name) == policies[0][name] for policy in policies)


def _cells(row: documents.Row, told: Sequence[str]) -> list[str]:
    policy = "".join(f", {name} {row.policy.get(name)}" for name in told)
    return [
        row.layer,
        str(row.count),
        decomposition(row.decomposition),
        f"{row.device.backend} {row.device.hardware_key[:6]}{policy}{' (stale)' * row.stale}",
        "" if row.latency_s is None else duration(row.latency_s),
        number(row.speedup, 2),
        "" if row.speedup is None else f"{row.speedup_low:.2f}-{row.speedup_high:.2f}",
        row.verdict,
    ]


def speedup_table_text(table: documents.Table) -> str:
    """The table, its failures, and how many rows were decided which way."""
    counts = {v: sum(row.verdict == v for row in table.rows) for v in _STYLE}
    lines = [
        *aligned(
            COLUMNS,
            table_lines(table),
            right=("x", "latency", "speedup", "interval"),
            style=_by_verdict if sys.stdout.isatty() else None,
        ),
        *map(_failed, table.failures),
        f"{len(table.rows)} rows: " + ", ".join(f"{n} {v}" for v, n in counts.items()),
    ]
    return "\n".join(lines) + "\n"


def _by_verdict(line: Sequence[str]) -> str:
    return _STYLE.get(line[-1], "")


def _rows(
    console: Console,
    columns: Sequence[str],
    lines: Iterable[Sequence[str]],
    right: Sequence[str] = (),
    style: Callable[[Sequence[str]], str] = lambda line: "",
) -> None:
    chosen = style if console.is_terminal else None
    for line in aligned(columns, lines, right=right, style=chosen):
        console.file.write(line + "\n")


def _failed(failure: documents.Failure) -> str:
    what = f"{failure.layer} {decomposition(failure.decomposition)}"
    return f"failed: {what}: {failure.stage}: {failure.reason}"


def _failures(console: Console, failures: Sequence[documents.Failure]) -> None:
    for failure in failures:
        console.print(_failed(failure), style="red", markup=False)


def _devices(document: documents.Devices, console: Console) -> None:
    _rows(
        console,
        ("backend", "", "device", "reason"),
        (
            [
                device.backend,
                "PASS" if device.available else "-",
                _chip(device.fingerprint),
                device.reason,
            ]
            for device in document.devices
        ),
    )


def _doctor(document: documents.Doctor, console: Console) -> None:
    _rows(
        console,
        ("check", "", "found", "advice"),
        ([c.name, "ok" if c.ok else "FAIL", c.value, c.advice] for c in document.checks),
        style=lambda line: "" if line[1] == "ok" else "red",
    )
    console.print(
        "this machine is fit to measure" if document.fit else "this machine is not fit to measure"
    )


def _chip(fingerprint: documents.Fingerprint | None) -> str:
    if fingerprint is None:
        return ""
    facts = fingerprint.hardware
    return " ".join([facts.get("chip", ""), f"({fingerprint.hardware_key[:6]})"]).strip()


def _layers(document: documents.Layers, console: Console) -> None:
    if document.ranking is not None:
        _ranked_layers(document, document.ranking, console)
        return
    _rows(
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


def _ranked_layers(
    document: documents.Layers, ranking: documents.Ranking, console: Console
) -> None:
    _rows(
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
    start = [layer.name, layer.op, _shape(layer.spec)]
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
        _shape(layer.spec),
        f"{layer.macs / 1e6:.1f}",
        str(layer.params),
        " ".join(layer.kinds) or layer.reason,
    ]


def _shape(spec: dict[str, Any] | None) -> str:
    if spec is None:
        return ""
    kernel = "x".join(map(str, spec["kernel_size"])) + " " if spec["op"] == "conv2d" else ""
    return f"{kernel}{spec['in_channels']}->{spec['out_channels']}"


def _profile(document: documents.Profile, console: Console) -> None:
    verdicts = ", ".join(f"{n} {verdict}" for verdict, n in sorted(document.verdicts.items()))
    console.print(
        f"{document.model.source} on {document.device.backend}: {document.specs} distinct layers, "
        f"{document.candidates} candidates; measured {document.measured}, already there "
        f"{document.already_measured}, {document.samples} samples in {document.elapsed_s:.1f} s"
    )
    console.print(f"verdicts: {verdicts or 'none'}")
    for found in document.staircases:
        where = f"{found.layer} {found.kind} rank {found.axis + 1}"
        console.print(f"{where}: {found.text} ({found.measured} measured)", markup=False)
    _failures(console, document.failures)
    if document.failed:
        console.print(f"{document.failed} candidates failed in this run", style="red")
    if not document.complete:
        console.print("not complete: time ran out; run again to go on", style="yellow")


def _plan(document: documents.Plan, console: Console) -> None:
    _rows(
        console,
        ("layer", "shape", "decision", "speedup", "layer error", "reason"),
        (_planned_cells(layer) for layer in document.layers),
        right=("speedup", "layer error"),
        style=lambda line: "dim" if line[2] == "original" else "",
    )
    changed = sum(layer.decomposition.kind != "original" for layer in document.layers)
    predicted = document.predicted
    mode = "" if document.mode == "vanilla" else f" (compression mode {document.mode})"
    console.print(f"{changed} of {len(document.layers)} layers replaced{mode}")
    if not changed:
        console.print(_nothing_helps(document), markup=False)
    if predicted.speedup is not None:
        alone = document.search.seed_speedup
        beside = f"; the sums' best plan has {alone:.3f}" if alone is not None else ""
        console.print(f"predicted speedup {_interval(predicted)}{beside}")
    if predicted.network_error is not None:
        how = "" if predicted.network_error_measured else " (estimated from plans measured before)"
        where = "on the select split" if document.calibration else "on random inputs"
        console.print(f"network error {where} {predicted.network_error:.4f}{how}")


def _nothing_helps(document: documents.Plan) -> str:
    """One sentence: that every layer stays, and how many for which reason."""
    reasons = Counter(layer.reason.removeprefix("unsupported: ") for layer in document.layers)
    counted = ", ".join(f"{count} {reason.replace('_', ' ')}" for reason, count in reasons.items())
    return f"no layer is worth replacing within these limits: {counted or 'there is none'}"


def _planned_cells(layer: documents.PlannedLayer) -> list[str]:
    return [
        layer.name,
        _shape(layer.spec),
        decomposition(layer.decomposition),
        number(layer.speedup, 2),
        number(layer.layer_error),
        layer.reason,
    ]


class _Speedup(Protocol):
    @property
    def speedup(self) -> float | None: ...
    @property
    def speedup_low(self) -> float | None: ...
    @property
    def speedup_high(self) -> float | None: ...


def _interval(value: _Speedup) -> str:
    return f"{value.speedup:.3f} [{value.speedup_low:.3f}, {value.speedup_high:.3f}]"


def _verification(document: documents.VerificationDocument, console: Console) -> None:
    console.print(
        f"original {duration(document.original_latency_s)}, "
        f"compressed {duration(document.latency_s)}"
    )
    console.print(f"measured speedup {_interval(document)}")
    if document.predicted_speedup is not None:
        console.print(f"predicted speedup {document.predicted_speedup:.3f}")
    for name, value in document.fidelity.items():
        shown = f"{value:.4g}" if isinstance(value, float) else str(value)
        console.print(f"{name.replace('_', ' ')}: {shown}", markup=False)


def _explanation(document: documents.Explanation, console: Console) -> None:
    for layer in document.layers:
        title = layer.name + (f" (one of {layer.count} alike)" if layer.count > 1 else "")
        console.print(title + (f": {layer.reason}" if layer.reason else ""), markup=False)
        for found in layer.candidates:
            _explained(found, console)
    console.print(
        f"below {document.ridge_macs_per_byte:.1f} MACs a byte this device, as far as it was "
        "measured, is limited by traffic"
    )


def _explained(found: documents.ExplainedCandidate, console: Console) -> None:
    style = _STYLE.get(found.verdict, "") if console.is_terminal else None
    console.print(
        f"  {decomposition(found.decomposition)}: {found.verdict} {_interval(found)}",
        style=style,
        markup=False,
    )
    for reason in found.reasons:
        console.print(f"    - {reason}", markup=False)


def _what_if(document: documents.WhatIf, console: Console) -> None:
    _rows(
        console,
        ("layer", "decision", "latency", "original", "speedup", "layer error", "note"),
        (_what_if_cells(layer) for layer in document.layers),
        right=("latency", "original", "speedup", "layer error"),
        style=lambda line: "dim" if line[1] == "original" else "",
    )
    macs, params = (
        f"{after / 1e6:.1f} of {before / 1e6:.1f} M{unit}"
        for after, before, unit in (
            (document.macs, document.original_macs, "MACs"),
            (document.params, document.original_params, " parameters"),
        )
    )
    console.print(f"{macs}, {params}")
    if document.speedup is None:
        console.print("speedup not known: a chosen candidate was not measured", style="yellow")
    else:
        console.print(f"predicted speedup {_interval(document)}")
    if document.network_error is not None:
        console.print(f"network error on the select split {document.network_error:.4f}")


def _what_if_cells(layer: documents.WhatIfLayer) -> list[str]:
    return [
        layer.name,
        decomposition(layer.decomposition),
        "" if layer.latency_s is None else duration(layer.latency_s),
        "" if layer.original_latency_s is None else duration(layer.original_latency_s),
        number(layer.speedup, 2),
        number(layer.layer_error),
        layer.note,
    ]


def _pareto(document: documents.Pareto, console: Console) -> None:
    _rows(
        console,
        ("network error", "at most", "speedup", "interval", "", "latency", "Mparams", "replaced"),
        (_front_cells(point) for point in document.points),
        right=("network error", "at most", "speedup", "interval", "latency", "Mparams", "replaced"),
    )


def _front_cells(point: documents.FrontPoint) -> list[str]:
    return [
        f"{point.network_error:.4f}",
        f"{point.network_error_upper:.4f}",
        f"{point.speedup:.3f}",
        f"{point.speedup_low:.3f}-{point.speedup_high:.3f}",
        "measured" if point.measured else "predicted",
        duration(point.latency_s),
        f"{point.params / 1e6:.3f}",
        str(point.replaced),
    ]


def _recovery(document: documents.Recovery, console: Console) -> None:
    console.print(
        f"{document.method}: {document.steps} steps in {document.elapsed_s:.1f} s, stopped: "
        f"{document.stopped.replace('_', ' ')}",
        markup=False,
    )
    if document.select is not None:
        change = f"{document.select.before:.4f} -> {document.select.after:.4f}"
        console.print(f"network error on the select split {change}")
    if document.report is not None:
        found = document.report
        console.print(
            f"network error on the report split {found.before:.4f} -> {found.after:.4f}: "
            f"{found.ratio:.3f} of what it was [{found.ratio_low:.3f}, {found.ratio_high:.3f}], "
            f"{found.pictures} pictures",
            markup=False,
        )
    console.print(f"wrote {document.output}", markup=False)


_PRINTERS: dict[type[documents.Document], Callable[[Any, Console], None]] = {
    documents.Devices: _devices,
    documents.Doctor: _doctor,
    documents.Layers: _layers,
    documents.Profile: _profile,
    documents.Plan: _plan,
    documents.VerificationDocument: _verification,
    documents.Explanation: _explanation,
    documents.WhatIf: _what_if,
    documents.Pareto: _pareto,
    documents.Recovery: _recovery,
}
