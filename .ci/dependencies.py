"""What rankwise brings along: its dependencies and those of the extras that users install.

    python .ci/dependencies.py names               one a line
    python .ci/dependencies.py sbom ALL.json OUT   of an environment's SBOM, that part

`make licences` and `make sbom` use it. What only developers install is left out. It reads what is
installed, so all of these extras have to be.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

FOR_DEVELOPERS = {"dev", "docs", "release"}


def names(root: str = "rankwise") -> list[str]:
    """Every distribution that the root needs on this system, itself left out."""
    extras = set(distribution(root).metadata.get_all("Provides-Extra") or ()) - FOR_DEVELOPERS
    found: set[tuple[str, frozenset[str]]] = set()
    _follow(root, frozenset(extras), found)
    return sorted({name for name, _ in found} - {canonicalize_name(root)})


def _follow(name: str, extras: frozenset[str], found: set[tuple[str, frozenset[str]]]) -> None:
    if (canonicalize_name(name), extras) in found:
        return
    found.add((canonicalize_name(name), extras))
    for need in _needed(name, extras):
        _follow(need.name, frozenset(need.extras), found)


def _needed(name: str, extras: frozenset[str]) -> Iterator[Requirement]:
    for text in distribution(name).requires or ():
        need = Requirement(text)
        if need.marker is None or any(need.marker.evaluate({"extra": e}) for e in ("", *extras)):
            yield need


def part_of(sbom: dict[str, Any], wanted: list[str]) -> dict[str, Any]:
    """The SBOM with these components alone, and what they depend on among each other."""
    kept = [one for one in sbom["components"] if canonicalize_name(one["name"]) in wanted]
    refs = {sbom["metadata"]["component"]["bom-ref"], *(one["bom-ref"] for one in kept)}
    graph = [
        {**one, "dependsOn": [ref for ref in one.get("dependsOn", ()) if ref in refs]}
        for one in sbom["dependencies"]
        if one["ref"] in refs
    ]
    return {**sbom, "components": kept, "dependencies": graph}


def main(words: list[str]) -> None:
    match words:
        case ["names"]:
            print("\n".join(names()))
        case ["sbom", source, output]:
            sbom = part_of(json.loads(Path(source).read_text(encoding="utf-8")), names())
            Path(output).write_text(json.dumps(sbom, indent=2) + "\n", encoding="utf-8")
        case _:
            sys.exit(__doc__)


if __name__ == "__main__":
    main(sys.argv[1:])
