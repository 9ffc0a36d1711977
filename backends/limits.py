"""What a backend cannot do, refused in one sentence each."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from ..errors import BackendError
from ..records import MeasurementPolicy


def require_supported(
    backend: str, policy: MeasurementPolicy, allowed: Mapping[str, Collection[str]]
) -> None:
    """`BackendError` if a field of the policy is not among those that the backend allows."""
    for field, values in allowed.items():
        asked = getattr(policy, field)
        if asked not in values:
            raise BackendError(
                f"{backend} does not do {field} {asked!r} yet, only {', '.join(sorted(values))}"
            )
    for field in ("threads", "batch"):
        if (count := getattr(policy, field)) < 1:
            raise BackendError(f"{field} must be at least 1, not {count}")


def one_line(error: Exception, length: int = 300) -> str:
    """A library's message as part of one of ours: no line breaks, not too long, not empty."""
    return " ".join(str(error).split())[:length] or type(error).__name__
