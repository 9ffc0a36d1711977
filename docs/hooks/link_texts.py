"""Links that are named after a file, as they read best in a checkout, get the page's title."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

LINK = re.compile(r"\[([\w-]+\.md)\]\((\1(?:#[\w-]+)?)\)")


def on_page_markdown(markdown: str, config: Any, **_: Any) -> str:
    folder = Path(config.docs_dir)
    return LINK.sub(lambda found: f"[{_title(folder / found[1])}]({found[2]})", markdown)


def _title(page: Path) -> str:
    first = page.read_text(encoding="utf-8").splitlines()[0]
    return first.removeprefix("# ")
