"""Pictures of a plan: the network with each decision, the promise against what was measured,
and the front that the plan was chosen from."""

from __future__ import annotations

from collections.abc import Sequence

from .. import documents
from .cells import decomposition, duration, shape
from .error_text import with_worst
from .markup import Html, tag
from .pictures.inline import figure
from .pictures.speedups import agreement_picture, front_picture, speedups

REASONS = {
    "slower": "decomposing makes it slower",
    "same": "decomposing makes no difference worth having",
    "undecided": "the measurements do not decide it",
    "fidelity": "it would cost more fidelity than it gains time",
    "excluded_by_mode": "the compression mode leaves it alone",
    "not_measured": "it was not measured",
}
"""What a kept layer's reason means; any other reason is a sentence already."""


def network_picture(plan: documents.Plan) -> Html:
    """Draw the network from input to output: a box a layer, with its decision, its reason, and
    its latency before and after as bars."""
    longest = max((layer.original_latency_s or 0.0 for layer in plan.layers), default=0.0)
    boxes = [_box(layer, longest) for layer in plan.layers]
    ends = [tag("li", text, class_="end") for text in ("input", "output")]
    return tag("ol", ends[0], *boxes, ends[1], class_="network")


def _box(layer: documents.PlannedLayer, longest: float) -> Html:
    replaced = layer.decomposition.kind != "original"
    decision = decomposition(layer.decomposition) if replaced else "kept"
    return tag(
        "li",
        tag("span", layer.name, class_="name"),
        tag("span", shape(layer.spec, "\u2192") or layer.op, class_="shape"),
        tag("span", decision, class_="decision"),
        _bars(layer, longest, replaced),
        tag("span", _why(layer), class_="why"),
        class_="replaced" if replaced else "kept",
    )


def _why(layer: documents.PlannedLayer) -> str:
    if layer.decomposition.kind == "original" or layer.speedup is None:
        return REASONS.get(layer.reason, layer.reason)
    error = "" if layer.layer_error is None else f", layer error {layer.layer_error:.3f}"
    interval = f"[{layer.speedup_low:.2f}, {layer.speedup_high:.2f}]"
    return f"{layer.reason}: speedup {layer.speedup:.2f} {interval}{error}"


def _bars(layer: documents.PlannedLayer, longest: float, replaced: bool) -> Html:
    before, after = layer.original_latency_s, layer.predicted_latency_s
    if not before or not longest:
        return tag("span", class_="bars")
    label = duration(before) + (f" \u2192 {duration(after)}" if replaced and after else "")
    bars = [tag("rect", x=0, y=2, width=100 * before / longest, height=6, class_="before")]
    if replaced and after:
        bars.append(tag("rect", x=0, y=10, width=100 * after / longest, height=6, class_="after"))
    picture = tag(
        "svg", *bars, viewbox="0 0 100 18", preserveAspectRatio="none", aria_hidden="true"
    )
    return tag("span", picture, tag("small", label), class_="bars")


def agreement(plan: documents.Plan, others: Sequence[documents.Verification] = ()) -> Html:
    """Draw the predicted speedup and every measured one, each with its interval."""
    if not speedups(plan, others):
        return tag("p", "Nothing was predicted or measured.", class_="empty")
    title = "Speedup of the whole network: predicted against measured"
    return figure(agreement_picture(plan, others, title), tag("p", _comparison(plan)))


def _comparison(plan: documents.Plan) -> str:
    verified = plan.verified
    if verified is None or plan.predicted.speedup is None:
        return "Not verified yet: the prediction has not been compared with a measurement."
    off = plan.predicted.speedup / verified.speedup - 1
    return (
        f"Original {duration(verified.original_latency_s)}, compressed "
        f"{duration(verified.latency_s)}; the prediction is {abs(off):.1%} too "
        f"{'hopeful' if off > 0 else 'low'}."
    )


def front_figure(front: documents.Pareto | None, *, choose: bool = False) -> Html:
    """Draw speedup over network error, a point for each different plan, and the same as a table.

    `choose`: points that were made for a limit can be clicked, and reached by keyboard; they
    carry `data-max-error`.
    """
    if front is None:
        return tag("p", "No front was worked out for this network.", class_="empty")
    picture = front_picture(front, choose=choose)
    points = _front_table(front.points, front.layers, choose)
    return tag("div", figure(picture), points, class_="pair")


def _front_table(points: Sequence[documents.FrontPoint], layers: int, choose: bool) -> Html:
    names = ["error limit", "network error", "predicted speedup", "layers replaced"]
    head = [tag("th", name, scope="col") for name in names] + ([tag("th")] if choose else [])
    lines = []
    for point in points:
        cells: list[object] = [
            "none" if point.max_error is None else f"{point.max_error:g}",
            with_worst(point.network_error, point.errors),
            f"{point.speedup:.2f} [{point.speedup_low:.2f}, {point.speedup_high:.2f}]",
            f"{point.replaced} of {layers}",
        ]
        if choose:
            cells.append("" if point.max_error is None else _plan_button(point.max_error))
        lines.append(tag("tr", *(tag("td", cell) for cell in cells)))
    table = tag("table", tag("thead", tag("tr", *head)), tag("tbody", *lines), class_="plain")
    return tag("div", table, class_="wide", tabindex="0", role="region", aria_label="Front")


def _plan_button(max_error: float) -> Html:
    label = f"Make the plan for limit {max_error:g}"
    return tag("button", "Plan this", type="button", data_max_error=max_error, aria_label=label)
