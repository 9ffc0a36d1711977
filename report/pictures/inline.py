"""A picture as part of a page: text stays text, colours follow the page's light or dark.

What matplotlib writes as `style` becomes attributes, because a page's security policy lets no
inline style in; colours become the variables of pictures.css.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

from ..markup import Html, tag
from .figure import Picture
from .style import VARIABLES

LEFT_OUT = ("metadata", "style")
NOT_KEPT = frozenset({"font", "font-family", "stroke-miterlimit", "stroke-linejoin"})
"""What the page says for all its pictures."""


def inline(picture: Picture) -> Html:
    """Return the picture as an SVG element that can be read aloud and pointed at."""
    salt = f"rankwise {picture.title}"  # names of clips differ between the pictures of a page
    root = ElementTree.fromstring(picture.svg(salt))
    for element in root.iter():
        _plain(element)
    for parent in list(root.iter()):
        for child in [one for one in parent if one.tag in LEFT_OUT]:
            parent.remove(child)
        if parent.get("id") in picture.notes:
            _annotate(parent, picture.notes[parent.get("id", "")])
    _without_needless_names(root)
    root.attrib = {
        "viewBox": root.get("viewBox", ""),
        "class": "drawing",
        "role": "img",
        "aria-label": picture.title,
    }
    title = Element("title")
    title.text = picture.title
    root.insert(0, title)
    return Html(ElementTree.tostring(root, encoding="unicode"))


def figure(picture: Picture, *more: object) -> Html:
    """Return the picture with its title above and `more` below."""
    return tag("figure", tag("figcaption", picture.title), inline(picture), *more)


def _plain(element: Element) -> None:
    """Take namespaces away, and make the style attributes."""
    element.tag = element.tag.rpartition("}")[2]
    written = {name.rpartition("}")[2]: value for name, value in element.attrib.items()}
    for part in filter(None, written.pop("style", "").split(";")):
        name, _, value = (text.strip() for text in part.partition(":"))
        if name == "font":
            written["font-size"] = re.findall(r"[\d.]+px", value)[0]
        if name not in NOT_KEPT:
            written[name] = _variable(value)
    element.attrib = {name: _variable(value) for name, value in written.items()}


def _variable(value: str) -> str:
    name = VARIABLES.get(value.lower())
    return f"var({name})" if name else value


def _annotate(group: Element, notes: Sequence[str]) -> None:
    """Wrap each mark of a series into a group that says what it is."""
    marked = list(group.iter("use"))
    parents = {child: parent for parent in group.iter() for child in parent}
    for use, note in zip(marked, notes, strict=False):
        parent = parents[use]
        wrapped = Element("g", {"class": "point"})
        said = Element("title")
        said.text = note
        halo = Element("circle", {"class": "halo", "r": "10"})
        halo.attrib |= {"cx": use.get("x", "0"), "cy": use.get("y", "0")}
        wrapped.extend([said, halo, use])
        parent[list(parent).index(use)] = wrapped


def _without_needless_names(root: Element) -> None:
    """Names that nothing refers to would only repeat from one picture of a page to the next."""
    text = ElementTree.tostring(root, encoding="unicode")
    wanted = set(re.findall(r'(?:url\(#|href="#)([^)"]+)', text))
    for element in root.iter():
        if element.get("id") not in wanted:
            element.attrib.pop("id", None)
