"""Plans, and what becomes of them: what is shown of each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from .. import documents
from ..documents.base import speedup_text
from .cells import decomposition, duration, number, shape
from .error_text import by_picture, with_worst
from .shown import Rows, Sentence, Shown
from .table_text import VERDICT_STYLES


def plan(document: documents.Plan) -> Iterator[Shown]:
    """Show a plan's decisions and what it promises."""
    yield Rows(
        ("layer", "shape", "decision", "speedup", "layer error", "reason"),
        (_planned_cells(layer) for layer in document.layers),
        right=("speedup", "layer error"),
        style=lambda line: "dim" if line[2] == "original" else "",
    )
    changed = sum(layer.decomposition.kind != "original" for layer in document.layers)
    predicted = document.predicted
    mode = "" if document.mode == "vanilla" else f" (compression mode {document.mode})"
    yield Sentence(f"{changed} of {len(document.layers)} layers replaced{mode}")
    if not changed:
        yield Sentence(_nothing_helps(document))
    if predicted.speedup is not None:
        yield Sentence(f"predicted speedup {speedup_text(predicted)}")
    if predicted.network_error is not None:
        where = "on the select split" if document.calibration else "on random inputs"
        shown = with_worst(predicted.network_error, predicted.errors)
        yield Sentence(f"network error {where} {shown}")
    yield from _of_pictures(predicted.errors)
    for one in document.on_devices:
        yield Sentence(_on_device(one))
    if document.promise is not None:
        yield Sentence(promise(document.promise))


def _on_device(one: documents.OnDevice) -> str:
    """Say what a plan for several devices does on one of them, and what its own would do."""
    made = "timed as a whole" if one.timed else f"not confirmed by a run: {one.reason}"
    own = "" if one.own_speedup is None else f"; its own best plan {one.own_speedup:.3f}"
    device = f"{one.device.backend} {one.device.hardware_key[:6]}"
    return f"on {device}: predicted speedup {speedup_text(one.predicted)}, {made}{own}"


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


def _of_pictures(errors: documents.Errors | None) -> Iterator[Shown]:
    if text := by_picture(errors):
        yield Sentence(f"by picture: {text}")


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


def explanation(document: documents.Explanation) -> Iterator[Shown]:
    """Show why candidates are faster or slower."""
    for layer in document.layers:
        title = layer.name + (f" (one of {layer.count} alike)" if layer.count > 1 else "")
        yield Sentence(title + (f": {layer.reason}" if layer.reason else ""))
        for candidate in layer.candidates:
            yield from _explained(candidate)
    yield Sentence(
        f"below {document.ridge_macs_per_byte:.1f} MACs a byte this device, as far as it was "
        "measured, is limited by traffic"
    )


def _explained(candidate: documents.ExplainedCandidate) -> Iterator[Shown]:
    line = (
        f"{decomposition(candidate.decomposition)}: {candidate.verdict} {speedup_text(candidate)}"
    )
    yield Sentence(f"  {line}", VERDICT_STYLES.get(candidate.verdict, ""))
    for reason in candidate.reasons:
        yield Sentence(f"    - {reason}")


def what_if(document: documents.WhatIf) -> Iterator[Shown]:
    """Show a plan of the user's own decisions."""
    yield Rows(
        ("layer", "decision", "latency", "original", "speedup", "layer error", "note"),
        (_what_if_cells(layer) for layer in document.layers),
        right=("latency", "original", "speedup", "layer error"),
        style=lambda line: "dim" if line[1] == "original" else "",
    )
    yield Sentence(
        f"{document.macs / 1e6:.1f} of {document.original_macs / 1e6:.1f} MMACs, "
        f"{document.params / 1e6:.3g} of {document.original_params / 1e6:.3g} M parameters"
    )
    if document.speedup is None:
        yield Sentence("speedup not known: a chosen candidate was not measured", style="yellow")
    else:
        yield Sentence(f"predicted speedup {speedup_text(document)}")
    if document.network_error is not None:
        shown = with_worst(document.network_error, document.errors)
        yield Sentence(f"network error on the select split {shown}")
    yield from _of_pictures(document.errors)


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


def pareto(document: documents.Pareto) -> Iterator[Shown]:
    """Show a front of plans."""
    several = len(document.dtypes) > 1
    numbers = "network error", "at most", "speedup", "interval", "latency", "Mparams", "replaced"
    yield Rows(
        (*(["dtype"] if several else []), *numbers[:4], "", *numbers[4:]),
        (_front_cells(point, several) for point in document.points),
        right=numbers,
    )


def _front_cells(point: documents.FrontPoint, several: bool) -> list[str]:
    return [
        *([point.dtype] if several else []),
        with_worst(point.network_error, point.errors),
        f"{point.network_error_upper:.4f}",
        f"{point.speedup:.3f}",
        f"{point.speedup_low:.3f}-{point.speedup_high:.3f}",
        "measured" if point.measured else "predicted",
        duration(point.latency_s),
        f"{point.params / 1e6:.3f}",
        str(point.replaced),
    ]


def verification(document: documents.VerificationDocument) -> Iterator[Shown]:
    """Show what a plan was measured to do."""
    yield Sentence(
        f"original {duration(document.original_latency_s)}, "
        f"compressed {duration(document.latency_s)}"
    )
    yield Sentence(f"measured speedup {speedup_text(document)}")
    if document.predicted_speedup is not None:
        yield Sentence(f"predicted speedup {document.predicted_speedup:.3f}")
    for name, value in document.fidelity.items():
        if isinstance(value, dict):
            continue
        shown = f"{value:.4g}" if isinstance(value, float) else str(value)
        yield Sentence(f"{name.replace('_', ' ')}: {shown}")
    for part, measures in document.fidelity.get("parts", {}).items():
        shown = ", ".join(f"{name.replace('_', ' ')} {one:.4g}" for name, one in measures.items())
        yield Sentence(f"{part}: {shown}")
    yield from _of_pictures(document.errors)
    for one in (*document.in_int8, *document.in_half):
        error = (
            "" if one.network_error is None else f", {with_worst(one.network_error, one.errors)}"
        )
        recipe = f" ({one.recipe})" if one.recipe else ""
        yield Sentence(
            f"{one.network} in {one.dtype}: {duration(one.latency_s)}, "
            f"speedup {speedup_text(one)}{error}{recipe}"
        )


def recovery(document: documents.Recovery) -> Iterator[Shown]:
    """Show what a recovery has done to the errors."""
    yield Sentence(
        f"{document.method}: {document.steps} steps in {document.elapsed_s:.1f} s, stopped: "
        f"{document.stopped.replace('_', ' ')}",
    )
    if document.select is not None:
        change = f"{document.select.before:.4f} -> {document.select.after:.4f}"
        yield Sentence(f"network error on the select split {change}")
    if document.report is not None:
        report = document.report
        yield Sentence(
            f"network error on the report split {report.before:.4f} -> "
            f"{with_worst(report.after, report.errors_after)}: "
            f"{report.ratio:.3f} of what it was [{report.ratio_low:.3f}, {report.ratio_high:.3f}], "
            f"{report.pictures} pictures",
        )
        yield from _of_pictures(report.errors_after)
    yield Sentence(f"wrote {document.output}")
