"""The front of speedup against network error as a picture."""

from __future__ import annotations

from pathlib import Path

from ..documents import FrontPoint, Pareto
from ..errors import UsageError
from .chart import Axis, Point, Series, chart


def write_front(document: Pareto, output: Path) -> None:
    """Draw the front. Raises `UsageError` for a file that is no .svg."""
    if output.suffix.lower() != ".svg":
        raise UsageError(f"a front is drawn as .svg, not {output.name}")
    output.write_text(front_picture(document), encoding="utf-8")


def front_picture(document: Pareto) -> str:
    """Return speedup over network error with its intervals, as SVG text."""
    points = [
        Point(p.network_error, p.speedup, p.speedup_low, p.speedup_high, _note(p))
        for p in document.points
    ]
    how = "measured" if all(p.measured for p in document.points[1:]) else "predicted"
    return chart(
        f"{document.model.source} on {document.device.backend}",
        [Series("front", points)],
        Axis("network error (relative output error, select split)", zero=True),
        Axis(f"speedup, {how}"),
    )


def _note(point: FrontPoint) -> str:
    return f"{point.speedup:.3f}x at {point.network_error:.4f}, {point.replaced} layers replaced"
