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
                f"{backend} does not do {field} {asked!r}, only {', '.join(sorted(values))}"
            )
    if policy.threads < 1:
        raise BackendError(f"threads must be at least 1, not {policy.threads}")
