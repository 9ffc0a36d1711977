"""Charts: where points stand, what the axes cover, what is told apart without colour."""

from __future__ import annotations

import io
from xml.etree import ElementTree

import pytest

from rankwise.report.pictures.chart import Axis, Point, Series, chart
from rankwise.report.pictures.figure import Picture
from rankwise.report.pictures.inline import inline


def drawn(*series: Series, y: Axis = Axis("y")) -> Picture:  # noqa: B008
    return chart("title", series, Axis("x"), y)


def shown(picture: Picture) -> list[str]:
    return [text.get_text() for text in picture.panels[0].texts]


def test_an_interval_that_says_next_to_nothing_leaves_room_for_the_points() -> None:
    points = [Point(0, 1, 1, 1), Point(1, 2, 1.9, 2.1), Point(2, 3, 1, 1000)]
    low, high = drawn(Series("s", points)).panels[0].get_ylim()
    assert low < 1
    assert 3 < high < 6


def test_an_axis_starts_at_zero_if_it_has_to() -> None:
    points = [Point(0, 10), Point(1, 12)]
    assert drawn(Series("s", points)).panels[0].get_ylim()[0] > 5
    assert drawn(Series("s", points), y=Axis("y", zero=True)).panels[0].get_ylim()[0] == 0


def test_series_differ_without_colour() -> None:
    picture = drawn(*(Series(f"s{n}", [Point(n, n), Point(n + 1, n)]) for n in range(6)))
    lines = picture.panels[0].lines
    assert len({line.get_marker() for line in lines if line.get_linestyle() == "None"}) == 6
    assert len({str(line.get_linestyle()) for line in lines if line.get_marker() == "None"}) >= 4


def test_a_name_covers_neither_points_nor_other_names() -> None:
    crowded = [Point(1 + n / 1000, 1 + n / 1000, name=f"point {n}") for n in range(30)]
    names = shown(drawn(Series("s", [Point(0, 0, name="alone"), *crowded], line=False)))
    assert "alone" in names
    assert len(names) < 6


def test_words_of_users_are_text_and_no_markup() -> None:
    point = Point(0, 0, note="<&>", name="a<b & $x_1^$")
    root = ElementTree.fromstring(inline(drawn(Series("s", [point]))))
    assert "<&>" in [title.text for title in root.iter("title")]
    assert point.name in "".join(root.itertext())


@pytest.mark.parametrize("suffix", ["png", "svg", "pdf"])
def test_nothing_to_draw_is_said_in_a_picture(suffix: str) -> None:
    picture = drawn(Series("s", []))
    assert shown(picture) == ["there is nothing to draw"]
    picture.figure.savefig(io.BytesIO(), format=suffix)
