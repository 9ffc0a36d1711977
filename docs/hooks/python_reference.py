"""The Python reference: every public name, with the keywords that it takes and its docstring.

mkdocs calls `on_page_markdown` for every page; where the mark is, each name gets a directive of
mkdocstrings. A verb's signature is the one that Python shows: its source takes one value, the
options, and the keywords come from these.
"""

from __future__ import annotations

import inspect
from typing import Any

import rankwise

MARK = "<!-- names -->"
SAID_ALREADY = ("show_root_heading", "show_root_toc_entry", "show_signature")


def on_page_markdown(markdown: str, **_: Any) -> str:
    if MARK not in markdown:
        return markdown
    return markdown.replace(MARK, "\n\n".join(map(_section, rankwise.__all__)))


def _section(name: str) -> str:
    value = getattr(rankwise, name)
    if not inspect.isfunction(value):
        return f"::: rankwise.{name}"
    lines = [f"## {name}", f"```python\n{_signature(name, value)}\n```"]
    return "\n\n".join([*lines, f"::: rankwise.{name}\n    options:\n{_BARE}"])


_BARE = (
    "      show_root_heading: false\n      show_root_toc_entry: false\n      show_signature: false"
)


def _signature(name: str, function: Any) -> str:
    """The call, one keyword a line where it would be long."""
    signature = inspect.signature(function)
    plain = [one.replace(annotation=one.empty) for one in signature.parameters.values()]
    words = [str(one) for one in plain]
    keyword_only = [n for n, one in enumerate(plain) if one.kind is one.KEYWORD_ONLY]
    if keyword_only:
        words.insert(keyword_only[0], "*")
    short = f"{name}({', '.join(words)})"
    if len(short) <= 90:
        return short
    return f"{name}(\n" + "".join(f"    {word},\n" for word in words) + ")"
