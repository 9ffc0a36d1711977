"""What each layer takes of the network's time, before and after: of a plan, and at best."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ... import documents
from ..cells import decomposition, duration, known, timed, with_count
from .figure import Picture, in_style, short
from .style import BEFORE, EDGE, GROUND, INK, ONE_COLUMN, SERIES, SMALL_PT, UNDECIDED

MAX_BARS = 40
"""The layers that take most of the time; the others are one bar."""
KEPT_MACS = 0.5
"""Share of its MACs that a layer keeps with the candidates that are shown as its best."""
ROW = 0.165
"""Inches from one bar to the next."""


@dataclass(frozen=True, slots=True)
class LayerBar:
    """Seconds of a layer, or of all that share its shape. `after` is None where it stays; `ends`
    is its interval, `hatched` says that the measurements do not decide it."""

    name: str
    before: float
    after: float | None
    label: str
    ends: tuple[float, float] | None = None
    hatched: bool = False


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
    _keys(picture, any(bar.hatched for bar in shown))
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
        place, scale * (bar.after or 0.0), 0.4, color=GROUND if bar.hatched else SERIES[0],
        hatch=UNDECIDED if bar.hatched else None, edgecolor=SERIES[0], linewidth=0.5,
    )  # fmt: skip
    if bar.ends is not None:
        low, high = bar.ends
        picture.whiskers(panel, [place], [(scale * low, scale * high)], INK, across=True)


def _keys(picture: Picture, hatched: bool) -> None:
    from matplotlib.patches import Patch

    keys = [
        Patch(facecolor=BEFORE, edgecolor=EDGE, linewidth=0.4, label="before"),
        Patch(facecolor=SERIES[0], label="after"),
    ]
    if hatched:
        keys.append(
            Patch(facecolor=GROUND, edgecolor=SERIES[0], hatch=UNDECIDED, label="undecided")
        )
    picture.legend(keys, columns=3)


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
    """Draw what the fastest candidate of each layer saves that keeps `KEPT_MACS`. The rows are of
    one device and policy; a bar is all layers of one shape."""
    return layer_bars([_best(row) for row in fastest(rows)], title)


def fastest(rows: Sequence[documents.Row]) -> list[documents.Row]:
    """Return the row of least latency of each shape of layers, of those that keep `KEPT_MACS` as
    long as there are any: the others are faster, but lose more than most networks bear."""
    layers: dict[str, list[documents.Row]] = {}
    for row in timed(rows):
        layers.setdefault(row.spec_key, []).append(row)
    return [min(same, key=_by_worth) for same in layers.values()]


def _by_worth(row: documents.Row) -> tuple[bool, float]:
    return row.macs < KEPT_MACS * row.original_macs, known(row.latency_s)


def _best(row: documents.Row) -> LayerBar:
    count, original = row.count, known(row.original_latency_s)
    name = with_count(row)
    undecided = row.verdict == "UNDECIDED"
    if row.verdict not in ("FASTER", "UNDECIDED"):
        return LayerBar(name, count * original, None, "nothing is faster")
    ends = (original / known(row.speedup_high), original / known(row.speedup_low))
    label = f"{decomposition(row.decomposition)}: {known(row.speedup):.2f}x"
    after = count * known(row.latency_s)
    both = (count * ends[0], count * ends[1])
    return LayerBar(name, count * original, after, label, both, undecided)


def saved_in_all(rows: Sequence[documents.Row]) -> str:
    """Say what the layers take together, and with the candidates of `fastest`."""
    pairs = [
        (row.count * known(row.original_latency_s), row.count * known(row.latency_s))
        for row in fastest(rows)
    ]
    before, after = sum(one for one, _ in pairs), sum(min(pair) for pair in pairs)
    return f"{duration(before)} before, {duration(after)} with those candidates"
