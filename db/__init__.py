"""The store: what was measured, kept in SQLite (or PostgreSQL). Rows never leave this package."""

from .measurement_values import MeasurementFilter
from .store import Store
from .workloads import NetworkRun

__all__ = ["MeasurementFilter", "NetworkRun", "Store"]
