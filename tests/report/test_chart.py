"""Charts are well-formed SVG in which everything lies inside the frame."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rankwise.report.chart import HEIGHT, WIDTH, Axis, Point, Series, chart

SVG = "{http://www.w3.org/2000/svg}"
numbers = st.floats(-1e6, 1e6)
points = st.lists(st.builds(Point, numbers, numbers), max_size=6)


def drawn(*series: Series, x: Axis = Axis("x"), y: Axis = Axis("y")) -> ElementTree.Element:  # noqa: B008
    return ElementTree.fromstring(chart("title", series, x, y))


def places(root: ElementTree.Element) -> list[tuple[float, float]]:
    marks = [path.get("transform", "") for path in root.iter(f"{SVG}path")]
    pairs = [mark.removeprefix("translate(").removesuffix(")").split() for mark in marks]
    return [(float(x), float(y)) for x, y in pairs]


@given(st.lists(points, max_size=3), st.booleans())
def test_everything_is_inside(groups: list[list[Point]], zero: bool) -> None:
    root = drawn(
        *(Series(f"s{n}", group) for n, group in enumerate(groups)), y=Axis("y", zero=zero)
    )
    for x, y in places(root):
        assert 0 <= x <= WIDTH
        assert 0 <= y <= HEIGHT


def test_larger_is_to_the_right_and_above() -> None:
    (x1, y1), (x2, y2) = places(drawn(Series("s", [Point(1, 10), Point(2, 20)])))
    assert x1 < x2
    assert y1 > y2


def test_an_interval_that_says_next_to_nothing_leaves_room_for_the_points() -> None:
    """It is cut off at the frame."""
    root = drawn(Series("s", [Point(0, 1, 1, 1), Point(1, 2, 1.9, 2.1), Point(2, 3, 1, 1000)]))
    (_, y1), (_, y2), (_, y3) = places(root)
    assert y1 - y3 > 100
    assert y1 - y2 == pytest.approx(y2 - y3, abs=0.2)
    bars = [line for line in root.iter(f"{SVG}line") if line.get("class") is None]
    assert min(float(line.get("y2", "0")) for line in bars) >= 0


def test_words_of_users_are_text_and_no_markup() -> None:
    root = drawn(Series("a<b", [Point(0, 0, note="<&>")]), Series("c", [Point(1, 1)]))
    texts = [text.text for text in root.iter(f"{SVG}text")]
    assert "a<b" in texts
    assert "<&>" in [title.text for title in root.iter(f"{SVG}title")]


def test_series_differ_without_colour() -> None:
    root = drawn(*(Series(f"s{n}", [Point(n, n)]) for n in range(4)))
    shapes = {path.get("d") for path in root.iter(f"{SVG}path")}
    assert len(shapes) == 4


def test_nothing_to_draw_is_said() -> None:
    assert "nothing to draw" in chart("title", [Series("s", [])], Axis("x"), Axis("y"))
