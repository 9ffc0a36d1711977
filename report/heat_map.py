"""The speedup table as a heat map: layers by candidates, as an HTML table.

A table rather than a drawing: it can be read aloud, walked by keyboard, and scrolled sideways
on a small screen. Colour repeats what the text in each cell says.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import partial
from operator import attrgetter
from typing import Any

from .. import documents
from .cells import decomposition, duration, known, shape, timed
from .markup import Html, joined, tag

LADDER = {"s3": 0.62, "s2": 0.8, "s1": 1.0, "f1": 1.25, "f2": 1.6, "f3": 2.2, "f4": float("inf")}
"""Classes of speedups, by their upper ends: slower and faster in steps of about a quarter."""
SIGNS = {"SAME": "= ", "UNDECIDED": "? "}


def by_setting(table: documents.Table) -> list[list[documents.Row]]:
    """Return the rows of each device and policy, those measured last first."""
    settings: dict[tuple[object, ...], list[documents.Row]] = {}
    for row in timed(table.rows):
        settings.setdefault(row.setting, []).append(row)
    measured_at = partial(map, attrgetter("measured_at"))
    return sorted(settings.values(), key=lambda rows: max(measured_at(rows)), reverse=True)


def _policy(policy: Mapping[str, Any]) -> str:
    threads = f"{policy['threads']} thread{'' if policy['threads'] == 1 else 's'}"
    named = (policy[name] for name in ("context", "dtype", "execution") if name in policy)
    return ", ".join([policy["phase"], f"batch {policy['batch']}", threads, *named])


def heat_map(table: documents.Table, order: Sequence[str] = (), most: int = 3) -> Html:
    """Draw a table for each device and policy, at most `most`, the newest first.

    `order`: the network's layer names.
    """
    if not timed(table.rows):
        return tag("p", "Nothing was measured yet.", class_="empty")
    place = {name: number for number, name in enumerate(order)}
    maps = [_one(rows, place) for rows in by_setting(table)[:most]]
    return joined([legend(), *maps, _failures(table.failures)])


def _one(rows: list[documents.Row], place: Mapping[str, int]) -> Html:
    layers: dict[str, list[documents.Row]] = {}
    for row in rows:
        layers.setdefault(row.spec_key, []).append(row)
    kinds = _kinds(layers.values())
    widths = {
        kind: max(sum(r.decomposition.kind == kind for r in group) for group in layers.values())
        for kind in kinds
    }
    ordered = sorted(layers.values(), key=lambda g: place.get(g[0].layer, len(place)))
    device, policy = rows[0].device, _policy(rows[0].policy)
    where = f"{device.backend} on {device.hardware_key[:6]}, software {device.software_key[:6]}"
    stale = " (stale: measured with other software)" if rows[0].stale else ""
    heads = [tag("th", kind, scope="colgroup", colspan=widths[kind]) for kind in kinds]
    head = tag("tr", tag("th", "layer", scope="col"), tag("th", "shape", scope="col"), *heads)
    body = [_line(group, kinds, widths) for group in ordered]
    return tag(
        "div",
        tag(
            "table",
            tag("caption", f"{where}; {policy}{stale}"),
            tag("thead", head),
            tag("tbody", *body),
            class_="heat",
        ),
        class_="wide",
        tabindex="0",
        role="region",
        aria_label="Heat map of speedups",
    )


def _kinds(layers: Iterable[Sequence[documents.Row]]) -> list[str]:
    """Return the kinds of most layers first: they are seen without scrolling."""
    counts = Counter(kind for rows in layers for kind in {r.decomposition.kind for r in rows})
    return sorted(counts, key=lambda kind: (-counts[kind], kind))


def _line(group: list[documents.Row], kinds: Sequence[str], widths: Mapping[str, int]) -> Html:
    first = group[0]
    name = tag("b", first.layer, title=" ".join(first.layers))
    cells: list[Html] = []
    for kind in kinds:
        rows = [row for row in group if row.decomposition.kind == kind]
        rows.sort(key=lambda row: row.decomposition.ranks)
        cells += [_cell(row) for row in rows]
        cells += [tag("td", class_="none")] * (widths[kind] - len(rows))
    size = tag("td", shape_and_count(first), class_="shape")
    return tag("tr", tag("th", name, scope="row"), size, *cells)


def shape_and_count(row: documents.Row) -> str:
    """Return the layer's shape, and how many there are of it."""
    return shape(row.spec, "\u2192") + (f" x{row.count}" if row.count > 1 else "")


def _cell(row: documents.Row) -> Html:
    label = (
        f"{row.layer}: {decomposition(row.decomposition)}, {row.verdict}, speedup "
        f"{row.speedup:.3f} [{row.speedup_low:.3f}, {row.speedup_high:.3f}], "
        f"{duration(known(row.latency_s))} against {duration(known(row.original_latency_s))}"
    )
    text = f"{SIGNS.get(row.verdict, '')}{row.speedup:.2f}"
    return tag("td", text, class_=f"cell {colour(row)}", title=label)


def colour(row: documents.Row) -> str:
    """Return the class of a cell: by verdict where nothing is decided, else by speedup."""
    if row.verdict in SIGNS:
        return row.verdict.lower()
    return next(name for name, end in LADDER.items() if known(row.speedup) < end)


def legend() -> Html:
    """Draw what colours, signs and patterns mean."""
    entries: Iterable[tuple[str, str, str]] = (
        ("s3", "0.5", "slower"),
        ("s1", "0.9", "a little slower"),
        ("same", "= 1.00", "SAME: no difference worth having"),
        ("undecided", "? 1.03", "UNDECIDED: the interval is too wide"),
        ("f1", "1.1", "a little faster"),
        ("f3", "2.0", "faster"),
    )
    return tag(
        "ul",
        *(
            tag("li", tag("span", sample, class_=f"cell {name}"), " ", meaning)
            for name, sample, meaning in entries
        ),
        class_="legend",
    )


def _failures(failures: Sequence[documents.Failure]) -> Html:
    if not failures:
        return Html("")
    lines = [
        tag("li", f"{f.layer} {decomposition(f.decomposition)}: {f.stage}: {f.reason}")
        for f in failures
    ]
    summary = tag("summary", f"{len(lines)} candidates failed")
    return tag("details", summary, tag("ul", *lines))
