"""Links between documents lead somewhere: files are there, and so are the headings that are named.

Relative links only, so no network is needed; `make docs` holds the built site to the same.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest
import yaml
from markdown_it import MarkdownIt
from markdown_it.token import Token

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
PAGES = sorted(
    path
    for path in ROOT.rglob("*.md")
    if not any(part.startswith(".") for part in path.relative_to(ROOT).parts)
    and path.relative_to(ROOT).parts[0] not in ("build", "dist", "demo")
    and not any((parent / "pyvenv.cfg").exists() for parent in path.parents)
)


@cache
def tokens(page: Path) -> list[Token]:
    return MarkdownIt("commonmark").enable("table").parse(page.read_text(encoding="utf-8"))


def targets(page: Path) -> Iterator[str]:
    """Yield what the page's links and pictures point to."""
    for block in tokens(page):
        for token in block.children or ():
            if token.type in ("link_open", "image"):
                yield str(token.attrs["href" if token.type == "link_open" else "src"])


@cache
def anchors(page: Path) -> set[str]:
    """Names of the page's headings, as GitHub and the site make them where these agree."""
    blocks = tokens(page)
    texts = [
        "".join(part.content for part in blocks[at + 1].children or ())
        for at, token in enumerate(blocks)
        if token.type == "heading_open"
    ]
    kept = [re.sub(r"[^\w\s-]", "", text).strip().lower() for text in texts]
    return {re.sub(r"\s", "-", text) for text in kept} & {re.sub(r"[-\s]+", "-", t) for t in kept}


def problem(page: Path, target: str) -> str:
    """What is wrong with a link, or nothing."""
    name, _, anchor = target.partition("#")
    path = (page.parent / name).resolve() if name else page
    if not path.exists():
        return f"{target}: no such file"
    if anchor and anchor not in anchors(path):
        return f"{target}: no such heading"
    if page.is_relative_to(DOCS) and not path.is_relative_to(DOCS):
        return f"{target}: the site holds docs/ alone"
    return ""


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    local = [one for one in targets(page) if not re.match(r"[a-z]+:", one)]
    assert not [said for target in local if (said := problem(page, target))]


def test_dead_links_are_seen(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("# One `two` three\n[a](#one-two-three) [b](#four) ![c](no.png) [d](page.md)\n")
    assert [bool(problem(page, one)) for one in targets(page)] == [False, True, True, False]


def test_every_page_and_picture_is_used() -> None:
    """Every page is in the site's navigation, and every picture on a page."""
    shown: set[Path] = set()
    for page in PAGES:
        shown |= {(page.parent / one.split("#")[0]).resolve() for one in targets(page)}
    pictures = {path for path in (DOCS / "images").rglob("*") if path.is_file()}
    assert not pictures - shown
    navigation = yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))["nav"]
    named = sorted(page for part in navigation for group in part.values() for page in leaves(group))
    assert named == sorted(path.relative_to(DOCS).as_posix() for path in DOCS.rglob("*.md"))


def test_pages_stay_short() -> None:
    """What is longer is not read to its end; tables in full are in the appendix of the results."""
    words = {path.name: len(path.read_text(encoding="utf-8").split()) for path in DOCS.glob("*.md")}
    assert words.pop("results-details.md") > words["results.md"]
    assert not {name: count for name, count in words.items() if count > 2400}
    assert len((ROOT / "README.md").read_text(encoding="utf-8").split()) < 700


def leaves(entries: list[dict[str, str]]) -> Iterator[str]:
    for entry in entries:
        yield from entry.values()
