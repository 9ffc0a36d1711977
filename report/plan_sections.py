"""Parts of the report's page about a plan: its decisions, the promise against what was measured,
and the front that it was chosen from."""

from __future__ import annotations

from collections.abc import Sequence

from .. import documents
from .cells import decomposition, duration, number, shape
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


COLUMNS = ("layer", "shape", "becomes", "before", "after", "speedup", "layer error", "reason")


def decisions(plan: documents.Plan) -> Html:
    """List every layer from input to output: what it becomes, its latencies, and why."""
    head = tag("tr", *(tag("th", name, scope="col") for name in COLUMNS))
    body = tag("tbody", *map(_decision, plan.layers))
    table = tag("table", tag("thead", head), body, class_="plain decisions")
    return tag("div", table, class_="wide", tabindex="0", role="region", aria_label="Decisions")


def _decision(layer: documents.PlannedLayer) -> Html:
    replaced = layer.decomposition.kind != "original"
    after = layer.predicted_latency_s if replaced else None
    cells = (
        shape(layer.spec, "\u2192") or layer.op,
        f"\u25bc {decomposition(layer.decomposition)}" if replaced else "kept",
        duration(layer.original_latency_s) if layer.original_latency_s else "",
        duration(after) if after else "",
        _speedup(layer) if replaced else "",
        number(layer.layer_error) if replaced else "",
        REASONS.get(layer.reason, layer.reason),
    )
    named = zip(COLUMNS[1:], cells, strict=True)
    return tag(
        "tr",
        tag("th", layer.name, scope="row"),
        *(tag("td", cell, data_column=name if cell else None) for name, cell in named),
        class_="replaced" if replaced else "kept",
    )


def _speedup(layer: documents.PlannedLayer) -> str:
    if layer.speedup is None:
        return ""
    return f"{layer.speedup:.2f} [{number(layer.speedup_low, 2)}, {number(layer.speedup_high, 2)}]"


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


def front_figure(front: documents.Pareto) -> Html:
    """Draw speedup over network error, a point for each different plan, and the same as a table."""
    drawn = figure(front_picture(front))
    return tag("div", drawn, _front_table(front), class_="pair")


def _front_table(front: documents.Pareto) -> Html:
    several = len(front.dtypes) > 1
    names = ["error limit", "network error", "speedup", "layers replaced"]
    if several:
        names = ["dtype", *names]
    head = [tag("th", name, scope="col") for name in names]
    lines = []
    for point in front.points:
        cells: list[object] = [
            *([point.dtype] if several else []),
            "none" if point.max_error is None else f"{point.max_error:g}",
            with_worst(point.network_error, point.errors),
            f"{point.speedup:.2f} [{point.speedup_low:.2f}, {point.speedup_high:.2f}]",
            f"{point.replaced} of {front.layers}",
        ]
        lines.append(tag("tr", *(tag("td", cell) for cell in cells)))
    table = tag("table", tag("thead", tag("tr", *head)), tag("tbody", *lines), class_="plain")
    return tag("div", table, class_="wide", tabindex="0", role="region", aria_label="Front")
