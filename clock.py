"""The time of day as text: UTC in ISO 8601."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta


def now_to_the_second() -> str:
    """The time to the second, as documents say it."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def now(*, after: str | None = None) -> str:
    """The time to the millisecond, which sorts as text.

    Always later than `after`, even if the clock was set back since then.
    """
    time = datetime.now(UTC)
    if after is not None:
        time = max(time, datetime.fromisoformat(after) + timedelta(milliseconds=1))
    return as_text(time)


def as_text(time: datetime) -> str:
    """A time in UTC to the millisecond, as the store has it."""
    return time.isoformat(timespec="milliseconds").replace("+00:00", "Z")
