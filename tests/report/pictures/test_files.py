"""Pictures as files: in every format, the same bytes each time, and by several threads at once."""

from __future__ import annotations

import builtins
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import matplotlib as mpl
import pytest
from PIL import Image

from rankwise.errors import UsageError
from rankwise.report.pictures.chart import Axis, Point, Series, chart
from rankwise.report.pictures.figure import Picture, check_picture, in_style
from rankwise.report.pictures.style import ONE_COLUMN, VARIABLES

SVG = "{http://www.w3.org/2000/svg}"


def picture(series: Sequence[Series] = ()) -> Picture:
    points = [Point(0, 1, 0.9, 1.1, name="first"), Point(1, 2)]
    return chart("A title", series or [Series("s", points)], Axis("x"), Axis("y"))


@pytest.mark.parametrize("suffix", ["png", "svg", "pdf"])
def test_equal_pictures_are_equal_files(tmp_path: Path, suffix: str) -> None:
    first, second = tmp_path / f"a.{suffix}", tmp_path / f"b.{suffix.upper()}"
    picture().write(first)
    picture().write(second)
    assert first.read_bytes() == second.read_bytes()
    assert b"2026" not in first.read_bytes().replace(b"2026.", b"")


def test_png_has_the_width_of_a_column_in_print(tmp_path: Path) -> None:
    picture().write(tmp_path / "a.png")
    with Image.open(tmp_path / "a.png") as image:
        assert image.width == round(ONE_COLUMN * 300)


def test_svg_needs_no_font_and_nothing_from_outside(tmp_path: Path) -> None:
    picture().write(tmp_path / "a.svg")
    root = ElementTree.parse(tmp_path / "a.svg").getroot()
    assert not list(root.iter(f"{SVG}text")), "letters are paths"
    links = [v for e in root.iter() for k, v in e.attrib.items() if k.endswith("href")]
    assert links
    assert all(link.startswith("#") for link in links)
    assert "A title" in "".join(root.itertext()), "for those who cannot see it"


def test_threads_that_draw_at_once_draw_the_same(tmp_path: Path) -> None:
    wanted = picture()
    wanted.write(tmp_path / "wanted.svg")

    def one(number: int) -> bytes:
        picture().write(tmp_path / f"{number}.svg")
        return (tmp_path / f"{number}.svg").read_bytes()

    with ThreadPoolExecutor(2) as threads:
        assert set(threads.map(one, range(4))) == {(tmp_path / "wanted.svg").read_bytes()}


def test_settings_of_others_are_neither_used_nor_changed(tmp_path: Path) -> None:
    with mpl.rc_context({"font.size": 31, "axes.facecolor": "red", "savefig.dpi": 10}):
        picture().write(tmp_path / "a.png")
        assert mpl.rcParams["font.size"] == 31
    picture().write(tmp_path / "b.png")
    assert (tmp_path / "a.png").read_bytes() == (tmp_path / "b.png").read_bytes()


def test_colours_of_the_style_sheet_are_ours() -> None:
    with in_style():
        values = [str(value).lower() for value in mpl.rcParams.values()]
    sheet = {value for value in values if value.startswith("#")}
    assert {"#1b2330", "#576273", "#e8ebf0"} <= sheet & set(VARIABLES)


def test_another_format_and_a_missing_folder_are_said(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"is \.png, \.svg or \.pdf, not s\.jpg"):
        picture().write(tmp_path / "s.jpg")
    for suffix in ("png", "svg", "pdf"):
        with pytest.raises(UsageError, match="cannot be written: No such file"):
            picture().write(tmp_path / "nowhere" / f"s.{suffix}")


def test_without_matplotlib_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    load = builtins.__import__

    def without(name: str, *more: Any, **words: Any) -> Any:
        if name.split(".")[0] == "matplotlib":
            raise ImportError(name)
        return load(name, *more, **words)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(UsageError, match=r"pip install 'rankwise\[pictures\]'"):
        check_picture(Path("a.svg"))
