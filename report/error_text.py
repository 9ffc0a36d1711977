"""Network errors as short texts: the whole with its worst part, and those of the pictures."""

from __future__ import annotations

from .. import documents


def with_worst(value: float, errors: documents.Errors | None) -> str:
    """Return a network error, with the worst of several parts by name."""
    text = f"{value:.4f}"
    if errors is None or len(errors.parts) < 2 or not value:
        return text
    worst = max(errors.parts, key=lambda name: _or_infinite(errors.parts[name]))
    return f"{text} (worst: {worst} {_shown(errors.parts[worst])})"


def by_picture(errors: documents.Errors | None) -> str:
    """Return what the errors of the single pictures are; empty where there are not several."""
    if errors is None or errors.pictures.count < 2:
        return ""
    pictures = errors.pictures
    name = f" ({pictures.worst_name})" if pictures.worst_name else ""
    return (
        f"median {_shown(pictures.median)}, nine of ten up to {_shown(pictures.quantile_90)}, "
        f"worst {_shown(pictures.worst)}{name}"
    )


def _or_infinite(value: float | None) -> float:
    return float("inf") if value is None else value


def _shown(value: float | None) -> str:
    return "infinite" if value is None else f"{value:.4f}"
