"""The verbs, one a file; the only place that joins the packages."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

OF_STORE = ("check_store", "export_store", "import_store", "prune_store", "upgrade_store")
ELSEWHERE = {
    "devices": "inspect",
    "layers": "inspect",
    "table_document": "table",
    "write_report": "report",
    **dict.fromkeys(OF_STORE, "store"),
}
"""Verbs whose file is not called as they are."""


def verb(name: str) -> Callable[..., Any]:
    """The verb of that name, loaded now: most bring heavy libraries."""
    module = import_module(f".{ELSEWHERE.get(name, name)}", __name__)
    function: Callable[..., Any] = getattr(module, name)
    return function
