"""What a speedup table says in all: where the network's time goes, and what could be saved."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from .. import documents
from ..records import Verdict
from .best_rows import LayerRows, by_layer
from .cells import decomposition, duration, with_count

SHOWN = 5
"""Layers that the summary names."""


def summary_lines(table: documents.Table, shown: int) -> list[str]:
    """Return the counts of verdicts, and for each device where the time goes and what the best
    candidates would save together. `shown`: rows of the table that are on the screen."""
    counts = Counter(row.verdict for row in table.rows)
    verdicts = ", ".join(f"{counts[verdict]} {verdict}" for verdict in Verdict)
    of = "" if shown == len(table.rows) else f"{shown} of "
    lines = [f"{of}{len(table.rows)} rows: {verdicts}"]
    if len(table.networks) > 1:
        names = ", ".join(table.networks[:SHOWN])
        return [*lines, f"of several networks; for what one could save give --model: {names}"]
    settings: dict[tuple[object, ...], list[LayerRows]] = {}
    for layer in by_layer(table.rows):
        settings.setdefault(layer.first.setting, []).append(layer)
    for layers in settings.values():
        lines += _of_setting(layers, named=len(settings) > 1)
    return lines


def _of_setting(layers: Sequence[LayerRows], named: bool) -> Iterator[str]:
    total_s = sum(layer.original_s for layer in layers)
    if not total_s:
        return
    device, policy = layers[0].first.device, layers[0].first.policy
    where = f" on {device.backend} {device.hardware_key[:6]}" if named else ""
    parts = f"threads {policy.get('threads')}, {policy.get('phase')}, {policy.get('dtype')}"
    where += f", {parts}" if named else ""
    slowest = sorted(layers, key=lambda layer: -layer.original_s)[:SHOWN]
    named_layers = ", ".join(
        f"{with_count(one.first)} {one.original_s / total_s:.0%}" for one in slowest
    )
    yield f"time of the layers{where}: {duration(total_s)}, most of it in {named_layers}"
    saved_s = sum(layer.best_saved_s() for layer in layers)
    if not saved_s:
        yield "no candidate is faster than its layer"
        return
    speedup = total_s / (total_s - saved_s)
    best = max(layers, key=LayerRows.best_saved_s)
    row = best.best()
    assert row is not None
    yield (
        f"the fastest candidate of each layer would save {duration(saved_s)} "
        f"({saved_s / total_s:.0%}, {speedup:.2f}x) whatever the error, most in "
        f"{with_count(row)}: {decomposition(row.decomposition)} saves "
        f"{best.best_saved_s() / total_s:.0%}"
    )
