"""The store: what was measured, kept in SQLite (or PostgreSQL). Rows never leave this package."""

from .store import Store
from .workloads import NetworkRun

__all__ = ["NetworkRun", "Store"]
