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
    """Draw speedup over network error. Points of the whole network's timing are filled, those that
    follow from the layers' are hollow."""
    points = [
        Point(
            point.network_error,
            point.speedup,
            point.speedup_low,
            point.speedup_high,
            _note(point, front.layers),
            "original" if not point.replaced else f"{point.replaced} replaced",
            hollow=bool(point.replaced) and not point.measured,
        )
        for point in front.points
    ]
    how = "measured" if all(p.measured for p in front.points[1:]) else "predicted"
    return chart(
        title,
        [Series("front", points)],
        Axis("network error (relative output error)", zero=True),
        Axis(f"speedup, {how}"),
    )


def _note(point: documents.FrontPoint, layers: int) -> str:
    limit = "" if point.max_error is None else f"limit {point.max_error:g}: "
    return (
        f"{limit}speedup {point.speedup:.2f}, "
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
