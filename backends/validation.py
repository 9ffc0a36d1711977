"""What a backend cannot do, refused in one sentence each."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace

from ..errors import BackendError
from ..records import MeasurementPolicy

INFERENCE_ONLY = {
    "phase": ("inference",),
    "context": ("isolated", "marginal", "in_network"),
    "cache": ("hot",),
    "frozen": ("",),
}
"""What most runtimes do; each adds its dtypes, numeric modes and executions."""


def require_supported(
    backend: str, policy: MeasurementPolicy, allowed: Mapping[str, Collection[str]]
) -> None:
    """`BackendError` if a field of the policy is not among those that the backend allows, or if
    it has too few threads or too small a batch."""
    for field, values in allowed.items():
        asked = getattr(policy, field)
        if asked not in values:
            only = ", ".join(sorted(map(str, values))) or "nothing else than the default"
            raise BackendError(f"{backend} does not do {field} {asked!r} yet, only {only}")
    _require_counts(policy, least_threads=1)


def checked_policy(
    backend: str,
    policy: MeasurementPolicy,
    allowed: Mapping[str, Collection[str]],
    dtypes: Mapping[str, str],
    has_threads: bool,
) -> MeasurementPolicy:
    """The policy, without threads where the device has none of its own. `dtypes` says by dtype why
    it cannot be (empty if it can). Raises `BackendError` for what the backend does not do."""
    _require_dtype(backend, policy.dtype, dtypes)
    require_supported(backend, replace(policy, threads=1), allowed)
    if not has_threads:
        policy = replace(policy, threads=min(policy.threads, 0))
    _require_counts(policy, least_threads=int(has_threads))
    return policy


def _require_counts(policy: MeasurementPolicy, least_threads: int) -> None:
    """`BackendError` for too few threads or too small a batch."""
    for field, least in (("threads", least_threads), ("batch", 1)):
        if (count := getattr(policy, field)) < least:
            raise BackendError(f"{field} must be at least {least}, not {count}")


def _require_dtype(backend: str, dtype: str, reasons: Mapping[str, str]) -> None:
    """`BackendError` unless `reasons`, by dtype why it cannot be, says that it can (empty)."""
    if dtype not in reasons:
        known = ", ".join(sorted(reasons))
        raise BackendError(f"{backend} does not do dtype {dtype!r}, only {known}")
    if reasons[dtype]:
        raise BackendError(f"{backend} cannot compute in {dtype}: {reasons[dtype]}")


def require_choice(option: str, value: str, choices: Collection[str]) -> str:
    """The value; `ValueError` (which becomes the registry's sentence) if it is no choice."""
    if value not in choices:
        raise ValueError(f"{option} is {' or '.join(choices)}, not {value!r}")
    return value


def whole_number(option: str, text: str) -> int:
    """An option's text as a number; `ValueError` if it is none."""
    if not text.isdecimal():
        raise ValueError(f"{option} must be a whole number, not {text!r}")
    return int(text)


def one_line(error: Exception, length: int = 300) -> str:
    """A library's message as part of one of ours: no line breaks, not too long, not empty."""
    return " ".join(str(error).split())[:length] or type(error).__name__
