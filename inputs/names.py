"""Names of inputs and outputs that nothing else has."""

from __future__ import annotations

from collections.abc import Container


def free_name(name: str, taken: Container[str]) -> str:
    """Return the name, lengthened until it is not taken."""
    while name in taken:
        name += "_"
    return name
