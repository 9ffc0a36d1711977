"""What each layer takes of the network's time, before and after: of a plan, and at best."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ... import documents
from ..best_rows import BUDGETS, LayerRows, by_layer
from ..cells import decomposition, duration, known, with_count
from .figure import Picture, in_style, short
from .style import BEFORE, EDGE, INK, ONE_COLUMN, SERIES, SMALL_PT

MAX_BARS = 40
"""The layers that take most of the time; the others are one bar."""
KEPT_MACS = BUDGETS["keeps 1/2"]
"""Share of its MACs that a layer keeps with the candidates that are shown as its best: smaller ones
are faster, but lose more than most networks bear."""
ROW = 0.165
"""Inches from one bar to the next."""


@dataclass(frozen=True, slots=True)
class LayerBar:
    """Seconds of a layer, or of all that share its shape. `after` is None where it stays; `ends`
    is its interval."""

    name: str
    before: float
    after: float | None
    label: str
    ends: tuple[float, float] | None = None


@in_style()
def layer_bars(bars: Sequence[LayerBar], title: str) -> Picture:
    """Draw the bars from above, in shares of what all take together before."""
    whole = sum(bar.before for bar in bars) or 1.0
    shown = _heaviest(bars)
    picture = Picture(title, ONE_COLUMN, 0.95 + ROW * len(shown))
    panel = picture.panels[0]
    places = range(len(shown))
    befores = [100 * bar.before / whole for bar in shown]
    panel.barh(places, befores, 0.78, color=BEFORE, edgecolor=EDGE, linewidth=0.4)
    longest = max(befores, default=1.0)
    for place, bar in enumerate(shown):
        if bar.after is not None:
            _after(picture, place, bar, 100 / whole)
        reach = 100 / whole * max(bar.before, bar.after or 0.0, *(bar.ends or (0.0, 0.0)))
        panel.text(reach + 0.02 * longest, place, bar.label, va="center", fontsize=SMALL_PT)
    panel.set_yticks(list(places), [short(bar.name, 22) for bar in shown])
    panel.tick_params(axis="y", length=0)
    panel.grid(visible=False, axis="y")
    panel.set_ylim(len(shown) - 0.4, -0.6)
    panel.locator_params(axis="x", nbins=8)
    panel.set_xticks([tick for tick in panel.get_xticks() if tick <= 1.05 * longest])
    panel.set_xlim(0, 1.9 * longest)
    panel.set_xlabel("share of the layers' time before (%)")
    _keys(picture)
    return picture


def _heaviest(bars: Sequence[LayerBar]) -> list[LayerBar]:
    heaviest = sorted(bars, key=lambda bar: bar.before, reverse=True)
    kept, rest = heaviest[:MAX_BARS], heaviest[MAX_BARS:]
    shown = [bar for bar in bars if any(bar is one for one in kept)]
    if rest:
        before = sum(bar.before for bar in rest)
        after = sum(bar.before if bar.after is None else bar.after for bar in rest)
        shown.append(LayerBar(f"{len(rest)} more", before, after, ""))
    return shown


def _after(picture: Picture, place: int, bar: LayerBar, scale: float) -> None:
    panel = picture.panels[0]
    panel.barh(
        place, scale * (bar.after or 0.0), 0.4, color=SERIES[0], edgecolor=SERIES[0], linewidth=0.5,
    )  # fmt: skip
    if bar.ends is not None:
        low, high = bar.ends
        picture.whiskers(panel, [place], [(scale * low, scale * high)], INK, across=True)


def _keys(picture: Picture) -> None:
    from matplotlib.patches import Patch

    keys = [
        Patch(facecolor=BEFORE, edgecolor=EDGE, linewidth=0.4, label="before"),
        Patch(facecolor=SERIES[0], label="after"),
    ]
    picture.legend(keys, columns=2)


def plan_picture(plan: documents.Plan, title: str) -> Picture:
    """Draw a plan: each layer's share of the time before, and what it will take afterwards."""
    bars = [_planned(layer) for layer in plan.layers if layer.original_latency_s]
    return layer_bars(bars, title)


def _planned(layer: documents.PlannedLayer) -> LayerBar:
    before = known(layer.original_latency_s)
    if layer.decomposition.kind == "original" or layer.predicted_latency_s is None:
        return LayerBar(layer.name, before, None, "kept")
    label = decomposition(layer.decomposition)
    ends = None
    if layer.speedup and layer.speedup_low and layer.speedup_high:
        label += f": {layer.speedup:.2f}x"
        ends = (before / layer.speedup_high, before / layer.speedup_low)
    return LayerBar(layer.name, before, layer.predicted_latency_s, label, ends)


def savings_picture(rows: Sequence[documents.Row], title: str) -> Picture:
    """Draw what the best candidate of each layer saves that keeps `KEPT_MACS`. The rows are of one
    device and policy; a bar is all layers of one shape."""
    return layer_bars([_best(layer) for layer in by_layer(rows)], title)


def _best(layer: LayerRows) -> LayerBar:
    name, row = with_count(layer.first), layer.best(KEPT_MACS)
    if row is None or row.speedup is None:
        return LayerBar(name, layer.original_s, None, "nothing is faster")
    label = f"{decomposition(row.decomposition)}: {row.speedup:.2f}x"
    ends = layer.original_s / known(row.speedup_high), layer.original_s / known(row.speedup_low)
    return LayerBar(name, layer.original_s, layer.original_s / row.speedup, label, ends)


def saved_in_all(rows: Sequence[documents.Row]) -> str:
    """Say what the layers take together, and with the best candidates that keep `KEPT_MACS`."""
    layers = by_layer(rows)
    before = sum(layer.original_s for layer in layers)
    saved = sum(layer.best_saved_s(KEPT_MACS) for layer in layers)
    return f"{duration(before)} before, {duration(before - saved)} with those candidates"
