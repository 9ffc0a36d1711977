"""Plans, and what becomes of them, as text."""

from __future__ import annotations

from collections import Counter

from rich.console import Console

from .. import documents
from .cells import decomposition, duration, interval, number, shape
from .error_text import by_picture, with_worst
from .table_text import VERDICT_STYLES, print_rows


def plan(document: documents.Plan, console: Console) -> None:
    """Print a plan's decisions and what it promises."""
    print_rows(
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
        console.print(f"predicted speedup {interval(predicted)}")
    if predicted.network_error is not None:
        where = "on the select split" if document.calibration else "on random inputs"
        shown = with_worst(predicted.network_error, predicted.errors)
        console.print(f"network error {where} {shown}", markup=False)
    _of_pictures(predicted.errors, console)
    if document.promise is not None:
        console.print(promise(document.promise), markup=False)


def promise(made: documents.Promise) -> str:
    """Say what is promised of the error on new pictures, in one sentence."""
    limit = f"the limit {made.max_error:g}"
    if not made.confirmed:
        return f"nothing is promised of new pictures: {made.reason}"
    return (
        f"on new pictures the network error keeps {limit} with probability {made.confidence:.0%}: "
        f"on {made.pictures} pictures that the search has not read it is {made.network_error:.4f}, "
        f"so at most {made.upper:.4f} on others ({made.looks} plans were looked at)"
    )


def _of_pictures(errors: documents.Errors | None, console: Console) -> None:
    if text := by_picture(errors):
        console.print(f"by picture: {text}", markup=False)


def _nothing_helps(document: documents.Plan) -> str:
    """Say that every layer stays, and how many for which reason."""
    reasons = Counter(layer.reason.removeprefix("unsupported: ") for layer in document.layers)
    counted = ", ".join(f"{count} {reason.replace('_', ' ')}" for reason, count in reasons.items())
    return f"no layer is worth replacing within these limits: {counted or 'there is none'}"


def _planned_cells(layer: documents.PlannedLayer) -> list[str]:
    return [
        layer.name,
        shape(layer.spec),
        decomposition(layer.decomposition),
        number(layer.speedup, 2),
        number(layer.layer_error),
        layer.reason,
    ]


def explanation(document: documents.Explanation, console: Console) -> None:
    """Print why candidates are faster or slower."""
    for layer in document.layers:
        title = layer.name + (f" (one of {layer.count} alike)" if layer.count > 1 else "")
        console.print(title + (f": {layer.reason}" if layer.reason else ""), markup=False)
        for candidate in layer.candidates:
            _explained(candidate, console)
    console.print(
        f"below {document.ridge_macs_per_byte:.1f} MACs a byte this device, as far as it was "
        "measured, is limited by traffic"
    )


def _explained(candidate: documents.ExplainedCandidate, console: Console) -> None:
    style = VERDICT_STYLES.get(candidate.verdict, "") if console.is_terminal else None
    line = f"{decomposition(candidate.decomposition)}: {candidate.verdict} {interval(candidate)}"
    console.print(f"  {line}", style=style, markup=False)
    for reason in candidate.reasons:
        console.print(f"    - {reason}", markup=False)


def what_if(document: documents.WhatIf, console: Console) -> None:
    """Print a plan of the user's own decisions."""
    print_rows(
        console,
        ("layer", "decision", "latency", "original", "speedup", "layer error", "note"),
        (_what_if_cells(layer) for layer in document.layers),
        right=("latency", "original", "speedup", "layer error"),
        style=lambda line: "dim" if line[1] == "original" else "",
    )
    console.print(
        f"{document.macs / 1e6:.1f} of {document.original_macs / 1e6:.1f} MMACs, "
        f"{document.params / 1e6:.1f} of {document.original_params / 1e6:.1f} M parameters"
    )
    if document.speedup is None:
        console.print("speedup not known: a chosen candidate was not measured", style="yellow")
    else:
        console.print(f"predicted speedup {interval(document)}")
    if document.network_error is not None:
        shown = with_worst(document.network_error, document.errors)
        console.print(f"network error on the select split {shown}", markup=False)
    _of_pictures(document.errors, console)


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


def pareto(document: documents.Pareto, console: Console) -> None:
    """Print a front of plans."""
    print_rows(
        console,
        ("network error", "at most", "speedup", "interval", "", "latency", "Mparams", "replaced"),
        (_front_cells(point) for point in document.points),
        right=("network error", "at most", "speedup", "interval", "latency", "Mparams", "replaced"),
    )


def _front_cells(point: documents.FrontPoint) -> list[str]:
    return [
        with_worst(point.network_error, point.errors),
        f"{point.network_error_upper:.4f}",
        f"{point.speedup:.3f}",
        f"{point.speedup_low:.3f}-{point.speedup_high:.3f}",
        "measured" if point.measured else "predicted",
        duration(point.latency_s),
        f"{point.params / 1e6:.3f}",
        str(point.replaced),
    ]


def verification(document: documents.VerificationDocument, console: Console) -> None:
    """Print what a plan was measured to do."""
    console.print(
        f"original {duration(document.original_latency_s)}, "
        f"compressed {duration(document.latency_s)}"
    )
    console.print(f"measured speedup {interval(document)}")
    if document.predicted_speedup is not None:
        console.print(f"predicted speedup {document.predicted_speedup:.3f}")
    for name, value in document.fidelity.items():
        if isinstance(value, dict):
            continue
        shown = f"{value:.4g}" if isinstance(value, float) else str(value)
        console.print(f"{name.replace('_', ' ')}: {shown}", markup=False)
    for part, measures in document.fidelity.get("parts", {}).items():
        shown = ", ".join(f"{name.replace('_', ' ')} {one:.4g}" for name, one in measures.items())
        console.print(f"{part}: {shown}", markup=False)
    _of_pictures(document.errors, console)


def recovery(document: documents.Recovery, console: Console) -> None:
    """Print what a recovery has done to the errors."""
    console.print(
        f"{document.method}: {document.steps} steps in {document.elapsed_s:.1f} s, stopped: "
        f"{document.stopped.replace('_', ' ')}",
        markup=False,
    )
    if document.select is not None:
        change = f"{document.select.before:.4f} -> {document.select.after:.4f}"
        console.print(f"network error on the select split {change}")
    if document.report is not None:
        report = document.report
        console.print(
            f"network error on the report split {report.before:.4f} -> "
            f"{with_worst(report.after, report.errors_after)}: "
            f"{report.ratio:.3f} of what it was [{report.ratio_low:.3f}, {report.ratio_high:.3f}], "
            f"{report.pictures} pictures",
            markup=False,
        )
        _of_pictures(report.errors_after, console)
    console.print(f"wrote {document.output}", markup=False)
