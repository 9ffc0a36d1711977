"""Whose code is trusted to compute the same in each of its versions."""

from __future__ import annotations

import sys

OURS = __name__.partition(".")[0]
TRUSTED = frozenset({"torch", "torch_npu", "numpy", OURS, *sys.stdlib_module_names}) - {
    "__main__",
    "test",
}
"""Packages whose releases keep what their names mean: torch's modules load each other's weights
since 1.0, and ours are held to it by tests. A network of them is what its settings say."""


def is_trusted(module: str) -> bool:
    """Return whether a module belongs to one of these packages."""
    return module.partition(".")[0] in TRUSTED
