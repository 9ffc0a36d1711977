"""Pictures: what they say is what the documents say, and no text becomes markup."""

from __future__ import annotations

import math
import re
from typing import Any
from xml.etree import ElementTree

import pytest

from rankwise import documents
from rankwise.report.heat_map import colour, heat_map
from rankwise.report.markup import Html, tag
from rankwise.report.page import layer_staircase, report_page, stylesheet
from rankwise.report.pictures import style
from rankwise.report.pictures.layer_bars import (
    MAX_BARS,
    LayerBar,
    layer_bars,
    plan_picture,
    savings_picture,
)
from rankwise.report.pictures.staircase import staircases, steps
from rankwise.report.plan_sections import REASONS, agreement, decisions, front_figure

EVIL = '<img src=x onerror="alert(1)">&'
DEVICE = documents.Fingerprint(
    backend="fake", hardware_key="a" * 16, software_key="b" * 16, hardware={}, software={}
)
POLICY = {"phase": "inference", "batch": 1, "threads": 1, "context": "isolated"}


def row(rank: int, latency: float, verdict: str = "FASTER", **more: Any) -> documents.Row:
    speedup = 1e-3 / latency
    fields = {
        "layer": "body",
        "layers": ["body"],
        "op": "conv2d",
        "spec": {"op": "conv2d", "kernel_size": [3, 3], "in_channels": 64, "out_channels": 64},
        "spec_key": "k",
        "count": 2,
        "decomposition": {"kind": "svd", "ranks": [rank], "groups": 1},
        "device": {"backend": "fake", "hardware_key": "a" * 16, "software_key": "b" * 16},
        "policy": POLICY,
        "latency_s": latency,
        "original_latency_s": 1e-3,
        "saving_s": 1e-3 - latency,
        "speedup": speedup,
        "speedup_low": speedup * 0.98,
        "speedup_high": speedup * 1.02,
        "verdict": verdict,
        "macs": 1,
        "original_macs": 2,
        "params": 1,
        "measured_at": "2026-01-01T00:00:00Z",
        "stale": False,
        "measurement_id": "m",
    }
    return documents.Row.model_validate({**fields, **more})


def plan(**more: Any) -> documents.Plan:
    layer = {
        "name": "body",
        "op": "conv2d",
        "spec": {"op": "conv2d", "kernel_size": [3, 3], "in_channels": 64, "out_channels": 64},
        "decomposition": {"kind": "svd", "ranks": [16], "groups": 1},
        "rank_quantum": 16,
        "factors": "weights",
        "original_latency_s": 1e-3,
        "predicted_latency_s": 5e-4,
        "speedup": 2.0,
        "speedup_low": 1.9,
        "speedup_high": 2.1,
        "verdict": "FASTER",
        "layer_error": 0.01,
        "reason": "faster",
        "measurement_ids": ["m"],
    }
    kept = {
        **layer,
        "name": "head",
        "decomposition": {"kind": "original"},
        "speedup": None,
        "reason": "fidelity",
    }
    fields = {
        "rankwise_version": "0",
        "created_at": "2026-01-01T00:00:00Z",
        "model": {"source": "net", "sha256": "0" * 64, "input_shape": [1, 3, 8, 8]},
        "device": DEVICE,
        "policies": [POLICY],
        "objective": {"max_error": 0.1},
        "mode": "vanilla",
        "rank_selection": "search",
        "calibration": None,
        "layers": [layer, kept],
        "predicted": {
            "latency_s": 5e-4,
            "speedup": 1.5,
            "speedup_low": 1.4,
            "speedup_high": 1.6,
            "network_error": 0.05,
            "model_error": None,
        },
        "search": {"sampler": "tpe", "trials": 1, "exact_speedup": 1.5, "gap": 0.0, "seed": 0},
    }
    return documents.Plan.model_validate({**fields, **more})


def texts(markup: str) -> str:
    return " ".join(ElementTree.fromstring(f"<x>{markup}</x>").itertext())


def test_text_is_escaped() -> None:
    assert EVIL not in tag("p", EVIL, title=EVIL)
    assert texts(tag("p", EVIL)) == EVIL
    assert tag("p", Html("<b>x</b>")) == "<p><b>x</b></p>"
    assert tag("g", class_="a", data_x=0.123456, hidden=True, role=None) == (
        '<g class="a" data-x="0.1235" hidden></g>'
    )


def test_steps_of_a_planted_staircase() -> None:
    """Steps of 16 ranks, jitter of 1%: the right ends are the multiples of 16."""
    points = [(rank, math.ceil(rank / 16) * (1 + 0.01 * (-1) ** rank)) for rank in range(4, 65, 4)]
    assert [(first, last) for first, last, _ in steps(points)] == [
        (4, 16),
        (20, 32),
        (36, 48),
        (52, 64),
    ]
    assert steps([]) == []
    assert steps([(5, 1.0)]) == [(5, 5, 1.0)]


@pytest.mark.parametrize(
    ("latency", "verdict", "name"),
    [
        (2e-3, "SLOWER", "s3"),
        (1.1e-3, "SLOWER", "s1"),
        (9e-4, "FASTER", "f1"),
        (3e-4, "FASTER", "f4"),
        (3e-4, "UNDECIDED", "undecided"),
        (1e-3, "SAME", "same"),
    ],
)
def test_colours(latency: float, verdict: str, name: str) -> None:
    assert colour(row(16, latency, verdict)) == name


def test_the_heat_map_can_be_read_without_colour() -> None:
    rows = [row(16, 5e-4), row(32, 1e-3, "SAME"), row(48, 9.7e-4, "UNDECIDED")]
    shown = heat_map(documents.Table(rows=rows, failures=[]))
    cells = re.findall(r'<td class="cell [^>]*>([^<]*)</td>', shown)
    assert cells == ["2.00", "= 1.00", "? 1.03"]
    assert "64\u219264 x2" in texts(shown)


def test_other_devices_are_other_maps() -> None:
    other = {"backend": "torch-cpu", "hardware_key": "c" * 16, "software_key": "d" * 16}
    later = row(16, 5e-4, device=other, measured_at="2026-02-01T00:00:00Z")
    shown = heat_map(documents.Table(rows=[row(16, 5e-4), later], failures=[]))
    assert shown.count("<caption>") == 2
    assert shown.index("torch-cpu") < shown.index("fake on")


@pytest.mark.parametrize("name", ["dtype", "execution", "threads"])
def test_other_policies_are_other_maps(name: str) -> None:
    """Whatever of the policy differs: such rows cannot be compared as they are."""
    first, other = (row(16, 5e-4) for _ in range(2))
    policies = [{**one.policy, name: value} for one, value in ((first, "1"), (other, "2"))]
    rows = [
        one.model_copy(update={"policy": policy})
        for one, policy in zip((first, other), policies, strict=True)
    ]
    shown = heat_map(documents.Table(rows=rows, failures=[]))
    assert len(set(re.findall("<caption>.*?</caption>", shown))) == 2


def test_the_staircase_shows_every_rank_and_the_original() -> None:
    rows = [row(rank, 1e-4 * rank / 8) for rank in (16, 32, 48)]
    shown = texts(layer_staircase(rows))
    for words in ("svd 16: 200 us, speedup 5.00, FASTER", "svd 32:", "svd 48:", "original"):
        assert words in shown
    assert "Nothing was measured" in layer_staircase([])


def test_of_pairs_with_the_same_smaller_rank_the_line_goes_through_the_fastest() -> None:
    pairs = {(16, 16): 3e-4, (16, 64): 5e-4, (32, 64): 6e-4}
    rows = [
        row(0, s, decomposition={"kind": "tucker2", "ranks": ranks, "groups": 1}, macs=sum(ranks))
        for ranks, s in pairs.items()
    ]
    panel = staircases([rows], "t").panels[0]
    solid, marks, *_ = [line for line in panel.lines if line.get_color() == style.SERIES[0]]
    assert {tuple(map(float, pair)) for pair in solid.get_xydata()} == {(16, 0.3), (32, 0.6)}
    assert len(marks.get_xydata()) == 3
    assert "smaller of a pair" in panel.get_xlabel()


def test_panels_of_several_devices_and_policies_say_which_is_which() -> None:
    rows = [row(16, 5e-4), row(32, 6e-4)]
    others = [one.model_copy(update={"policy": {**POLICY, "threads": 4}}) for one in rows]
    titles = [p.get_title(loc="left") for p in staircases([rows, others], "t").panels]
    assert [title.partition("\n")[2] for title in titles] == ["threads 1", "threads 4"]
    alone = staircases([rows, rows], "t").panels[0].get_title(loc="left")
    assert alone == "body 3x3 64\u219264 (x2)"


def test_what_is_not_faster_is_hollow_and_ends_of_steps_are_ringed() -> None:
    rows = [row(r, t, v) for r, t, v in
            ((16, 5e-4, "FASTER"), (32, 5.01e-4, "FASTER"), (48, 1.2e-3, "SLOWER"))]  # fmt: skip
    lines = staircases([rows], "t").panels[0].lines
    marks = {line.get_markerfacecolor(): [x for x, _ in line.get_xydata()] for line in lines
             if line.get_zorder() in (4, 5)}  # fmt: skip
    assert marks == {style.SERIES[0]: [16, 32], style.GROUND: [48], "none": [32]}


def test_bars_of_a_plan_are_shares_of_the_time_before() -> None:
    panel = plan_picture(plan(), "t").panels[0]
    assert [bar.get_width() for bar in panel.patches] == [50, 50, 25]
    assert [text.get_text() for text in panel.texts] == ["svd 16: 2.00x", "kept"]


def test_savings_are_of_the_fastest_that_keep_half_of_the_macs() -> None:
    """As `table --best` has them: of what is not faster for certain nothing is claimed."""
    rows = [
        row(8, 2e-4, macs=1, original_macs=10),
        row(32, 5e-4, macs=6, original_macs=10),
        row(48, 6e-4, macs=8, original_macs=10),
        row(32, 1.5e-3, "SLOWER", layer="slow", spec_key="slow", count=1),
        row(32, 9.9e-4, "UNDECIDED", layer="open", spec_key="open", count=1),
    ]
    panel = savings_picture(rows, "t").panels[0]
    said = [text.get_text() for text in panel.texts]
    assert said == ["svd 32: 2.00x", "nothing is faster", "nothing is faster"]
    widths = [bar.get_width() for bar in panel.patches]
    assert widths == pytest.approx([50, 25, 25, 25])
    assert [label.get_text() for label in panel.get_yticklabels()] == ["body (x2)", "slow", "open"]


def test_many_layers_are_the_heaviest_and_one_bar_for_the_others() -> None:
    bars = [LayerBar(f"l{n}", float(n % 50 + 1), None, "") for n in range(100)]
    panel = layer_bars(bars, "t").panels[0]
    names = [label.get_text() for label in panel.get_yticklabels()]
    assert names[-1] == f"{100 - MAX_BARS} more"
    assert len(names) == MAX_BARS + 1
    assert sum(bar.get_width() for bar in panel.patches[:-1]) == pytest.approx(100)


def test_colours_are_those_of_the_style_in_both_themes() -> None:
    light, dark = stylesheet().split("@media (prefers-color-scheme: dark)")[:2]
    for value, name in style.VARIABLES.items():
        assert re.search(rf"{name}: {value}", light), name
        assert f"{name}: #" in dark, name


def test_the_plan_shows_each_decision_and_its_reason() -> None:
    lines = ElementTree.fromstring(decisions(plan())).iter("tr")
    _, replaced, kept = (["".join(cell.itertext()) for cell in line] for line in lines)
    assert replaced == ["body", "3x3 64\u219264", "\u25bc svd 16", "1 ms", "500 us",
                        "2.00 [1.90, 2.10]", "0.010", "faster"]  # fmt: skip
    assert kept[2:] == ["kept", "1 ms", "", "", "", REASONS["fidelity"]]


def test_predicted_beside_measured() -> None:
    assert "Not verified yet" in texts(agreement(plan()))
    verified = {
        "latency_s": 8e-4,
        "original_latency_s": 1e-3,
        "speedup": 1.25,
        "speedup_low": 1.2,
        "speedup_high": 1.3,
        "predicted_speedup": 1.5,
        "fidelity": {"relative_error": 0.06},
        "device": DEVICE,
        "at": "2026-01-02",
    }
    shown = texts(agreement(plan(verified=verified)))
    assert "20.0% too hopeful" in shown


def test_points_of_a_front_are_drawn_named_and_listed() -> None:
    original = {
        **dict.fromkeys(("speedup", "speedup_low", "speedup_high"), 1.0),
        **dict.fromkeys(("network_error", "network_error_upper"), 0.0),
        **dict.fromkeys(("macs", "params", "replaced"), 0),
        **{"latency_s": 1e-3, "measured": False, "max_error": None, "decisions": {}},
    }
    changed = {"speedup": 1.5, "speedup_high": 1.6, "network_error": 0.12, "max_error": 0.15}
    svd = {"a": {"kind": "svd", "ranks": [16], "groups": 1}}
    front = documents.Pareto.model_validate(
        {
            "model": plan().model,
            "device": DEVICE,
            "policy": {},
            "layers": 2,
            "calibration": None,
            "points": [original, {**original, **changed, "replaced": 1, "decisions": svd}],
        }
    )
    shown = texts(front_figure(front))
    assert "limit 0.15: speedup 1.50, network error 0.1200, 1 of 2 layers replaced" in shown
    assert "1 replaced" in shown, "the point's name"
    assert "1.50 [1.00, 1.60]" in shown, "the table's cell"
    assert "float32" not in shown, "there is nothing else"
    front.points.append(front.points[1].model_copy(update={"dtype": "int8", "measured": True}))
    shown = texts(front_figure(front))
    assert "int8, limit 0.15: speedup 1.50" in shown
    assert "speedup over float32" in shown
    assert "measured (filled) or predicted" in shown


def test_the_report_needs_nothing_else_and_escapes_all() -> None:
    table = documents.Table(rows=[row(16, 5e-4)], failures=[])
    page = report_page(plan(), table)
    for outside in ("<script", "<link", " src=", "@import", "//", " style=", "<image", "<foreign"):
        assert outside not in page, outside
    links = re.findall(r'(?:href="|url\()(.)', page)
    assert links
    assert set(links) == {"#"}, "parts of the page itself"
    assert "Predicted against measured" in page
    evil = plan(model={"source": EVIL, "sha256": "0" * 64, "input_shape": [1]})
    evil.layers[0].name = EVIL
    page = report_page(evil, documents.Table(rows=[row(16, 5e-4, layer=EVIL)], failures=[]))
    assert EVIL not in page
    assert "<img" not in page


def test_the_style_needs_nothing_else() -> None:
    assert "url(" not in stylesheet()
    assert "@import" not in stylesheet()
