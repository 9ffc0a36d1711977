"""HTML and SVG as values: whatever is not `Html` already is escaped."""

from __future__ import annotations

import html


class Html(str):
    """Text that is markup."""

    __slots__ = ()


def tag(element: str, /, *children: object, **attributes: object) -> Html:
    """Return an element. Children are escaped unless they are `Html`; None and "" are left out.

    Attributes: `class_` is `class`, `_` becomes `-`, True is written bare, None and False
    not at all.
    """
    written = "".join(_attribute(key, value) for key, value in attributes.items())
    inside = "".join(_child(child) for child in children)
    if element in VOID:
        return Html(f"<{element}{written}>")
    return Html(f"<{element}{written}>{inside}</{element}>")


VOID = frozenset({"br", "meta", "link", "input", "hr"})


def _attribute(key: str, value: object) -> str:
    if value is None or value is False:
        return ""
    name = key.rstrip("_").replace("_", "-")
    name = "viewBox" if name == "viewbox" else name
    if value is True:
        return f" {name}"
    text = f"{value:.4g}" if isinstance(value, float) else str(value)
    return f' {name}="{html.escape(text)}"'


def _child(child: object) -> str:
    if child is None:
        return ""
    return child if isinstance(child, Html) else html.escape(str(child))


def joined(parts: object) -> Html:
    """Return several elements after each other."""
    return Html("".join(_child(part) for part in parts))  # type: ignore[attr-defined]
