"""Pictures of a plan: the network with each decision, the promise against what was measured,
and the front that the plan was chosen from."""

from __future__ import annotations

from collections.abc import Sequence

from .. import documents
from .axes import LEFT, Scale, axes, drawing, marker, ticks
from .markup import Html, joined, tag
from .text import decomposition, duration

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
    """The network from input to output: a box a layer, with its decision, its reason, and its
    latency before and after as bars."""
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
        tag("span", _shape(layer), class_="shape"),
        tag("span", decision, class_="decision"),
        _bars(layer, longest, replaced),
        tag("span", _why(layer), class_="why"),
        class_="replaced" if replaced else "kept",
    )


def _shape(layer: documents.PlannedLayer) -> str:
    spec = layer.spec
    if spec is None:
        return layer.op
    kernel = "x".join(map(str, spec["kernel_size"])) + " " if layer.op == "conv2d" else ""
    return f"{kernel}{spec['in_channels']}\u2192{spec['out_channels']}"


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
    told = duration(before) + (f" \u2192 {duration(after)}" if replaced and after else "")
    bars = [tag("rect", x=0, y=2, width=100 * before / longest, height=6, class_="before")]
    if replaced and after:
        bars.append(tag("rect", x=0, y=10, width=100 * after / longest, height=6, class_="after"))
    picture = tag(
        "svg", *bars, viewbox="0 0 100 18", preserveAspectRatio="none", aria_hidden="true"
    )
    return tag("span", picture, tag("small", told), class_="bars")


def agreement(plan: documents.Plan, others: Sequence[documents.Verification] = ()) -> Html:
    """The predicted speedup and every measured one, each with its interval."""
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
        tag("p", _told(plan, rows)),
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
    shape = 0 if number == 0 else 1
    return joined(
        [
            tag("text", name, x=LEFT + 66, y=y + 4, class_="tick end"),
            tag("line", x1=x(low), x2=x(high), y1=y, y2=y, class_=f"bar series{shape}"),
            marker(shape, x(value), y),
            tag("text", f"{value:.3f}", x=572, y=y + 4, class_="tick"),
        ]
    )


def _told(plan: documents.Plan, rows: Sequence[Speedup]) -> str:
    verified = plan.verified
    if verified is None or plan.predicted.speedup is None:
        return "Not verified yet: the prediction has not been compared with a measurement."
    off = plan.predicted.speedup / verified.speedup - 1
    return (
        f"Original {duration(verified.original_latency_s)}, compressed "
        f"{duration(verified.latency_s)}; the prediction is {abs(off):.1%} too "
        f"{'hopeful' if off > 0 else 'low'}."
    )


def front_picture(front: documents.Front, *, choose: bool = False) -> Html:
    """Speedup over network error, one point for each different plan, and the same as a table.

    `choose`: points can be clicked, and reached by keyboard; they carry `data-max-error`.
    """
    points = [point for point in front.points if point.speedup is not None]
    if not points:
        return tag("p", "No point could be predicted.", class_="empty")
    drawn = axes(
        [0.0, *(_error(p) for p in points)],
        [1.0, *(p.speedup_low or 1.0 for p in points), *(p.speedup_high or 1.0 for p in points)],
        "network error (relative, select split)",
        "predicted speedup",
        lambda v: f"{v:g}",
        lambda v: f"{v:g}",
    )
    x, y = drawn.x, drawn.y
    path = "".join(
        f"{'L' if number else 'M'}{x(_error(p))} {y(p.speedup or 1.0)}"
        for number, p in enumerate(points)
    )
    marks = [_point(x, y, point, front.layers, choose) for point in points]
    title = "Speedup against fidelity"
    return tag(
        "figure",
        tag("figcaption", title),
        drawing(title, drawn.drawn, tag("path", d=path, class_="tread series0"), *marks),
        _front_table(points, front.layers, choose),
    )


def _error(point: documents.LimitPoint) -> float:
    return point.max_error if point.network_error is None else point.network_error


def _point(x: Scale, y: Scale, point: documents.LimitPoint, layers: int, choose: bool) -> Html:
    place, told = x(_error(point)), _point_told(point, layers)
    low, high = point.speedup_low or 1.0, point.speedup_high or 1.0
    return tag(
        "g",
        tag("title", told),
        tag("line", x1=place, x2=place, y1=y(low), y2=y(high), class_="whisker"),
        tag("circle", cx=place, cy=y(point.speedup or 1.0), r=16, class_="halo"),
        marker(0, place, y(point.speedup or 1.0)),
        class_="point",
        tabindex="0" if choose else None,
        role="button" if choose else None,
        aria_label=told if choose else None,
        data_max_error=point.max_error if choose else None,
    )


def _point_told(point: documents.LimitPoint, layers: int) -> str:
    return (
        f"limit {point.max_error:g}: speedup {point.speedup or 1:.2f}, network error "
        f"{_error(point):.3f}, {point.replaced} of {layers} layers replaced"
    )


def _front_table(points: Sequence[documents.LimitPoint], layers: int, choose: bool) -> Html:
    names = ["error limit", "network error", "predicted speedup", "layers replaced"]
    head = [tag("th", name, scope="col") for name in names] + ([tag("th")] if choose else [])
    lines = []
    for point in points:
        low, high = point.speedup_low or 1, point.speedup_high or 1
        cells: list[object] = [
            f"{point.max_error:g}",
            f"{_error(point):.4f}",
            f"{point.speedup or 1:.2f} [{low:.2f}, {high:.2f}]",
            f"{point.replaced} of {layers}",
        ]
        if choose:
            cells.append(
                tag(
                    "button",
                    "Plan this",
                    type="button",
                    data_max_error=point.max_error,
                    aria_label=f"Make the plan for limit {point.max_error:g}",
                )
            )
        lines.append(tag("tr", *(tag("td", cell) for cell in cells)))
    table = tag("table", tag("thead", tag("tr", *head)), tag("tbody", *lines), class_="plain")
    return tag("div", table, class_="wide", tabindex="0", role="region", aria_label="Front")
