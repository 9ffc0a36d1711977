"""Speedups of a whole network: the front against fidelity, and promised beside measured."""

from __future__ import annotations

from collections.abc import Sequence

from ... import documents
from ..error_text import with_worst
from .chart import Axis, Point, Series, chart
from .figure import Picture, in_style
from .style import INK, ONE_COLUMN, SMALL_PT

MAX_VERIFICATIONS = 5


def front_picture(front: documents.Pareto, title: str = "Speedup against fidelity") -> Picture:
    """Draw speedup over network error, each dtype with a mark of its own. Points of the whole
    network's timing are filled, those that follow from the layers' are hollow."""
    series = [
        Series(dtype, [_front_point(p, front.layers) for p in front.points if p.dtype == dtype])
        for dtype in front.dtypes
    ]
    over = " over float32" if len(series) > 1 else ""
    return chart(
        title,
        series,
        Axis("network error (relative output error)", zero=True),
        Axis(f"speedup{over}{_how(front.points)}"),
    )


def _front_point(point: documents.FrontPoint, layers: int) -> Point:
    return Point(
        point.network_error,
        point.speedup,
        point.speedup_low,
        point.speedup_high,
        _note(point, layers),
        f"{point.replaced} replaced" if point.decisions else "original",
        hollow=bool(point.decisions) and not point.measured,
    )


def _how(points: Sequence[documents.FrontPoint]) -> str:
    timed = {point.measured for point in points if point.decisions}
    if len(timed) > 1:
        return ",\nmeasured (filled) or predicted"
    return ", predicted" if timed == {False} else ", measured"


def _note(point: documents.FrontPoint, layers: int) -> str:
    limit = "" if point.max_error is None else f"limit {point.max_error:g}: "
    quantised = "" if point.dtype == "float32" else f"{point.dtype}, "
    return (
        f"{quantised}{limit}speedup {point.speedup:.2f}, "
        f"network error {with_worst(point.network_error, point.errors)}, "
        f"{point.replaced} of {layers} layers replaced"
    )


@in_style()
def agreement_picture(
    plan: documents.Plan, others: Sequence[documents.Verification], title: str
) -> Picture:
    """Draw the predicted speedup and every measured one from above, each with its interval."""
    rows = speedups(plan, others)
    picture = Picture(title, ONE_COLUMN, 0.65 + 0.26 * len(rows))
    panel = picture.panels[0]
    panel.axvline(1.0, color=INK, linestyle="--", linewidth=0.9)
    for place, (name, value, low, high) in enumerate(rows):
        series = min(place, 1)
        picture.whiskers(panel, [place], [(low, high)], INK, across=True)
        note = f"{name} {value:.3f} [{low:.3f}, {high:.3f}]"
        picture.marks(panel, [value], [place], series, notes=[note])
        panel.text(1.02, place, f"{value:.3f}", va="center", fontsize=SMALL_PT,
                   transform=panel.get_yaxis_transform())  # fmt: skip
    panel.set_yticks(range(len(rows)), [name for name, *_ in rows])
    panel.tick_params(axis="y", length=0)
    panel.grid(visible=False, axis="y")
    panel.set_ylim(len(rows) - 0.4, -0.6)
    panel.set_xlabel("speedup of the whole network")
    return picture


Speedup = tuple[str, float, float, float]


def speedups(plan: documents.Plan, others: Sequence[documents.Verification]) -> list[Speedup]:
    """Return (what it is, speedup, low, high): predicted first, then the newest measurements."""
    predicted = plan.predicted
    rows: list[Speedup] = []
    if predicted.speedup and predicted.speedup_low and predicted.speedup_high:
        rows.append(("predicted", predicted.speedup, predicted.speedup_low, predicted.speedup_high))
    measured = list(others) or ([plan.verified] if plan.verified else [])
    for one in measured[:MAX_VERIFICATIONS]:
        name = "measured" if len(measured) == 1 else f"measured {one.at[:10]}"
        rows.append((name, one.speedup, one.speedup_low, one.speedup_high))
    return rows
