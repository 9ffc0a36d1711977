"""Pictures of a plan: the network with each decision, the promise against what was measured,
and the front that the plan was chosen from."""

from __future__ import annotations

from collections.abc import Sequence

from .. import documents
from .axes import LEFT, Scale, axes, drawing, marker, ticks, with_intervals
from .cells import decomposition, duration, shape
from .error_text import with_worst
from .markup import Html, joined, tag

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
    rows = _speedups(plan, others)
    if not rows:
        return tag("p", "Nothing was predicted or measured.", class_="empty")
    height = 40 + 40 * len(rows)
    across = ticks(min(1.0, *(low for _, _, low, _ in rows)), max(high for *_, high in rows), 6)
    x = Scale(across[0], across[-1], LEFT + 80, 560)
    grid = [
        joined(
            [
                tag("line", x1=x(v), x2=x(v), y1=8, y2=height - 30, class_="grid"),
                tag("text", f"{v:g}", x=x(v), y=height - 14, class_="tick mid"),
            ]
        )
        for v in across
    ]
    parts = [_interval(x, number, *row) for number, row in enumerate(rows)]
    one = tag("line", x1=x(1), x2=x(1), y1=8, y2=height - 30, class_="original")
    title = "Speedup of the whole network: predicted against measured"
    return tag(
        "figure",
        tag("figcaption", title),
        drawing(title, *grid, one, *parts, height=height),
        tag("p", _comparison(plan)),
    )


Speedup = tuple[str, float, float, float]


def _speedups(plan: documents.Plan, others: Sequence[documents.Verification]) -> list[Speedup]:
    predicted = plan.predicted
    rows: list[Speedup] = []
    if predicted.speedup and predicted.speedup_low and predicted.speedup_high:
        rows.append(("predicted", predicted.speedup, predicted.speedup_low, predicted.speedup_high))
    measured = list(others) or ([plan.verified] if plan.verified else [])
    for one in measured[:5]:
        name = "measured" if len(measured) == 1 else f"measured {one.at[:10]}"
        rows.append((name, one.speedup, one.speedup_low, one.speedup_high))
    return rows


def _interval(x: Scale, number: int, name: str, value: float, low: float, high: float) -> Html:
    y = 28 + 40 * number
    series = min(number, 1)
    return joined(
        [
            tag("text", name, x=LEFT + 66, y=y + 4, class_="tick end"),
            tag("line", x1=x(low), x2=x(high), y1=y, y2=y, class_=f"bar series{series}"),
            marker(series, x(value), y),
            tag("text", f"{value:.3f}", x=572, y=y + 4, class_="tick"),
        ]
    )


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


def front_picture(front: documents.Pareto | None, *, choose: bool = False) -> Html:
    """Draw speedup over network error, a point for each different plan, and the same as a table.

    `choose`: points that were made for a limit can be clicked, and reached by keyboard; they
    carry `data-max-error`.
    """
    if front is None:
        return tag("p", "No front was worked out for this network.", class_="empty")
    points = front.points
    intervals = [(point.speedup_low, point.speedup_high) for point in points]
    drawn = axes(
        [point.network_error for point in points],
        with_intervals([point.speedup for point in points], intervals),
        "network error (relative, select split)",
        "predicted speedup",
        lambda v: f"{v:g}",
        lambda v: f"{v:g}",
    )
    x, y = drawn.x, drawn.y
    path = "".join(
        f"{'L' if number else 'M'}{x(p.network_error)} {y(p.speedup)}"
        for number, p in enumerate(points)
    )
    marks = [_point(x, y, point, front.layers, choose) for point in points]
    title = "Speedup against fidelity"
    return tag(
        "figure",
        tag("figcaption", title),
        drawing(title, drawn.drawn, tag("path", d=path, class_="step series0"), *marks),
        _front_table(points, front.layers, choose),
    )


def _point(x: Scale, y: Scale, point: documents.FrontPoint, layers: int, choose: bool) -> Html:
    place, label = x(point.network_error), _point_label(point, layers)
    choose = choose and point.max_error is not None
    low, high = y.inside(point.speedup_low), y.inside(point.speedup_high)
    return tag(
        "g",
        tag("title", label),
        tag("line", x1=place, x2=place, y1=low, y2=high, class_="whisker"),
        tag("circle", cx=place, cy=y(point.speedup), r=16, class_="halo"),
        marker(0, place, y(point.speedup)),
        class_="point",
        tabindex="0" if choose else None,
        role="button" if choose else None,
        aria_label=label if choose else None,
        data_max_error=point.max_error if choose else None,
    )


def _point_label(point: documents.FrontPoint, layers: int) -> str:
    limit = "" if point.max_error is None else f"limit {point.max_error:g}: "
    return (
        f"{limit}speedup {point.speedup:.2f}, "
        f"network error {with_worst(point.network_error, point.errors)}, "
        f"{point.replaced} of {layers} layers replaced"
    )


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
