"""Documents show themselves: in one line, as text, and as HTML that needs no script."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from rankwise import documents
from rankwise.documents.plan_files import read_plan
from rankwise.report import notebook
from rankwise.report.parts import PARTS

PLANS = Path(__file__).parents[1] / "data" / "plans"
EVIL = "<script>alert('layer')</script>"


class Elements(HTMLParser):
    """Which elements there are, with which attributes, and the text between them."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.names: list[str] = []
        self.attributes: set[str] = set()
        self.depth: list[str] = []
        self.text = ""
        self.feed(html)
        self.close()
        assert not self.depth

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.append(tag)
        self.attributes |= {name for name, _ in attrs}
        self.depth.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.depth.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def test_every_document_is_shown() -> None:
    assert set(PARTS) == set(documents.DOCUMENTS)
    for document in documents.DOCUMENTS:
        assert document.headline is not documents.Document.headline


def test_what_the_verbs_return_is_shown(made: dict[str, Any]) -> None:
    for document in (made["profile"], made["plan"]):
        line = repr(document)
        assert line.startswith(f"<{type(document).__name__}: small:Small on fake: ")
        assert len(line) < 160
        found = Elements(document._repr_html_())
        assert document.headline in found.text
        assert not {"script", "style", "link", "img"} & set(found.names)
        assert found.attributes <= {"style", "scope"}
        assert all(line.strip() in found.text for line in str(document).splitlines()[-1:])
    table = Elements(made["plan"]._repr_html_())
    assert table.names.count("tr") == 1 + len(made["plan"].layers)
    assert "spatial_svd 16" in str(made["plan"])


def test_what_users_bring_is_escaped(made: dict[str, Any]) -> None:
    plan = made["plan"].model_copy(deep=True)
    plan.layers[0].name = plan.layers[1].reason = plan.model.source = EVIL
    plan.model.notes = [EVIL]
    html = plan._repr_html_()
    assert EVIL not in html
    assert Elements(html).text.count(EVIL) == 4
    assert EVIL in str(plan)


def test_a_long_table_is_cut_and_says_so(made: dict[str, Any]) -> None:
    plan = made["plan"].model_copy(deep=True)
    plan.layers = plan.layers[:1] * (notebook.MAX_LINES + 7)
    found = Elements(plan._repr_html_())
    assert found.names.count("tr") == 1 + notebook.MAX_LINES
    assert "7 more lines" in found.text


def test_older_plans_are_shown_too() -> None:
    for path in sorted(PLANS.glob("*.json")):
        plan = read_plan(path)
        assert repr(plan).startswith("<Plan: ")
        assert plan.headline in notebook.html(plan)


def test_without_anybody_to_show_it_a_document_is_one_line(
    made: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(documents.Document, "shown_by", None)
    assert str(made["plan"]) == repr(made["plan"])
    assert made["plan"]._repr_html_() is None


def test_a_mark_stands_beside_the_word_that_says_the_same() -> None:
    check = documents.Check(name="load", ok=False, value="2 busy", advice="stop them")
    html = notebook.html(documents.Doctor(fit=False, backend="fake", checks=[check]))
    assert notebook.MARKS["red"] in html
    assert "FAIL" in Elements(html).text
