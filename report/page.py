"""`rankwise report`: a plan as one HTML file that needs nothing else: no script, no network."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from importlib.resources import files

from .. import documents
from .cells import duration, known, timed
from .error_text import by_picture, with_worst
from .heat_map import by_setting, heat_map, shape_and_count
from .markup import Html, joined, tag
from .pictures.inline import figure
from .pictures.layer_bars import KEPT_MACS, plan_picture, saved_in_all, savings_picture
from .pictures.staircase import staircases
from .plan_sections import agreement, decisions, front_figure
from .plan_text import promise

MAX_STAIRCASES = 12
MISSING = "The measurements behind this plan are not in the store."


def stylesheet() -> str:
    """Return the style of the pictures; the service's page uses it, too."""
    return (files(__package__) / "pictures.css").read_text(encoding="utf-8")


def report_page(
    plan: documents.Plan,
    table: documents.Table | None = None,
    front: documents.Pareto | None = None,
    verifications: Sequence[documents.Verification] = (),
    name: str = "",
) -> str:
    """Return the whole page, which says what is missing."""
    title = f"{name or plan.model.source} on {plan.device.backend}"
    sections = [
        _summary(plan),
        _section("Predicted against measured", agreement(plan, verifications), _promise(plan)),
        *_front(front),
        _section("Where the time goes", tag("div", _planned(plan), _savings(table), class_="pair")),
        _section("Decisions", decisions(plan)),
        _section("Speedup of each candidate", _table(plan, table)),
        _section("Latency over rank", _staircases(table)),
        _section("How it was made", _origin(plan)),
    ]
    body = tag("main", tag("h1", title), *sections, class_="report")
    style = stylesheet()
    policy = f"default-src 'none'; style-src '{style_hash(style)}'; img-src data:"
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=policy),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("meta", name="color-scheme", content="light dark"),
        tag("title", f"rankwise: {title}"),
        tag("style", Html(style)),
    )
    return f"<!doctype html>\n{tag('html', head, tag('body', body), lang='en')}\n"


def style_hash(style: str) -> str:
    """Return the name of an inline style in a Content-Security-Policy."""
    digest = hashlib.sha256(style.encode()).digest()
    return f"sha256-{base64.b64encode(digest).decode()}"


def _front(front: documents.Pareto | None) -> list[Html]:
    """The front, which a service works out; nothing where there is none."""
    if front is None:
        return []
    return [_section("The front of speedup against fidelity", front_figure(front))]


def _section(title: str, *parts: object) -> Html:
    return tag("section", tag("h2", title), *parts)


def _summary(plan: documents.Plan) -> Html:
    replaced = sum(layer.decomposition.kind != "original" for layer in plan.layers)
    facts = [("layers replaced", f"{replaced} of {len(plan.layers)}")]
    predicted = plan.predicted
    if predicted.speedup is not None:
        facts.append(("predicted speedup", f"{predicted.speedup:.2f}"))
    if predicted.network_error is not None:
        where = "select split" if plan.calibration else "random inputs"
        facts.append(
            (f"network error ({where})", with_worst(predicted.network_error, predicted.errors))
        )
    if (made := plan.promise) is not None and made.upper is not None:
        words = f"on new pictures, at {made.confidence:.0%}"
        facts.append((words, f"at most {made.upper:.4f}"))
    if plan.verified is not None:
        verified = plan.verified
        facts.append(("measured speedup", f"{verified.speedup:.2f}"))
        facts.append(("latency", f"{duration(verified.latency_s)}"))
        if (error := verified.fidelity.get("relative_error")) is not None:
            facts.append(("network error (report split)", with_worst(error, verified.errors)))
    checked = plan.verified.errors if plan.verified else None
    if text := by_picture(checked or predicted.errors):
        facts.append(("network error by picture", text))
    return tag("dl", *(tag("div", tag("dt", k), tag("dd", v)) for k, v in facts), class_="facts")


def _table(plan: documents.Plan, table: documents.Table | None) -> Html:
    if table is None or not timed(table.rows):
        return tag("p", MISSING, class_="empty")
    return heat_map(table, [layer.name for layer in plan.layers])


def _planned(plan: documents.Plan) -> Html:
    if not any(layer.original_latency_s for layer in plan.layers):
        return Html("")
    return figure(plan_picture(plan, "The plan: time of each layer, before and after"))


def _savings(table: documents.Table | None) -> Html:
    if table is None or not timed(table.rows):
        return tag("p", MISSING, class_="empty")
    rows = by_setting(table)[0]
    title = f"What could be had: fastest candidates that keep {KEPT_MACS:.0%} of the MACs"
    told = tag("p", f"All layers together: {saved_in_all(rows)}, whatever they lose.")
    return figure(savings_picture(rows, title), told)


def _staircases(table: documents.Table | None) -> Html:
    """Draw the staircases of the layers that take most of the time."""
    if table is None or not timed(table.rows):
        return tag("p", MISSING, class_="empty")
    rows = by_setting(table)[0]
    specs = {row.spec_key: known(row.original_latency_s) * row.count for row in timed(rows)}
    heaviest = sorted(specs, key=lambda key: specs[key], reverse=True)[:MAX_STAIRCASES]
    drawn = [layer_staircase([row for row in rows if row.spec_key == key]) for key in heaviest]
    more = len(specs) - len(drawn)
    text = f"The {len(drawn)} layers that take most of the time; {more} more are left out."
    return joined([tag("p", text) if more > 0 else "", tag("div", *drawn, class_="pair")])


def layer_staircase(rows: Sequence[documents.Row]) -> Html:
    """Draw latency over rank of one layer, whose rows are of one device and policy."""
    if not (kept := timed(rows)):
        return tag("p", "Nothing was measured of this layer.", class_="empty")
    first = kept[0]
    title = f"Latency over rank: {first.layer}, {shape_and_count(first)}, on {first.device.backend}"
    return figure(staircases([kept], title))


def _promise(plan: documents.Plan) -> Html:
    if plan.promise is None:
        return Html("")
    told = promise(plan.promise)
    return tag("p", f"{told[0].upper()}{told[1:]}.")


def _part(part: documents.ComparedPart) -> str:
    return part.name if part.weight == 1 else f"{part.name} by {part.weight:g}"


def _origin(plan: documents.Plan) -> Html:
    policy = plan.policies[0] if plan.policies else {}
    pictures = plan.calibration
    calibration = f"{pictures.images} pictures, {pictures.preprocess}" if pictures else "none"
    facts = [
        ("network", f"{plan.model.source}, SHA-256 {plan.model.sha256}"),
        ("input", "x".join(map(str, plan.model.input_shape))),
        ("device", " ".join(plan.device.hardware.values())),
        ("software", ", ".join(f"{k} {v}" for k, v in plan.device.software.items())),
        ("policy", ", ".join(f"{k} {v}" for k, v in policy.items() if v != "")),
        ("objective", ", ".join(f"{k} {v}" for k, v in plan.objective.items() if v is not None)),
        ("calibration", calibration),
        ("compared", ", ".join(map(_part, plan.compared)) or "the first output"),
        *(("note", note) for note in plan.notes),
        ("search", f"{plan.search.sampler}, {plan.search.trials} trials, seed {plan.search.seed}"),
        ("made", f"{plan.created_at} by rankwise {plan.rankwise_version}"),
    ]
    lines = [tag("tr", tag("th", k, scope="row"), tag("td", v)) for k, v in facts]
    table = tag("table", tag("tbody", *lines), class_="plain")
    return tag("div", table, class_="wide", tabindex="0")
