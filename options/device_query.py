"""Which devices of a fleet are meant: `label=lab-a backend=torch-cuda`, read in this one place.

Words stand apart by spaces, because a backend's options have commas. All of them have to fit.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from ..errors import UsageError, did_you_mean

WORDS = ("id", "label", "backend", "hardware")


@dataclass(frozen=True, slots=True)
class DeviceQuery:
    """`labels` are of the machine; `id`, `backend` (with its options, or only its name) and
    `hardware` (a hardware key, or the beginning of one) are of the device; empty fits all."""

    id: str = ""
    labels: tuple[str, ...] = ()
    backend: str = ""
    hardware: str = ""

    @classmethod
    def parse(cls, text: str, flag: str = "--device") -> DeviceQuery:
        """Read words such as `label=lab-a hardware=3fa9`. Raises `UsageError`."""
        found: dict[str, str] = {}
        labels: list[str] = []
        for part in text.split():
            word, equals, value = part.partition("=")
            if word not in WORDS or not value:
                raise UsageError(_refusal(part, word if equals else "", flag))
            if word == "label":
                labels.append(value)
            elif found.setdefault(word, value) != value:
                raise UsageError(f"{flag} says {word} twice: no device has both")
        return cls(labels=tuple(sorted(set(labels))), **found)

    def fits(
        self, device_id: str, labels: Collection[str], backend: str, hardware_key: str
    ) -> bool:
        """Whether a device with these is meant."""
        return (
            self.id in ("", device_id)
            and set(self.labels) <= set(labels)
            and self.backend in ("", backend, backend.partition(":")[0])
            and hardware_key.startswith(self.hardware)
        )

    def __str__(self) -> str:
        plain = {"id": self.id, "backend": self.backend, "hardware": self.hardware}
        words = [f"{word}={value}" for word, value in plain.items() if value]
        return " ".join([*words, *(f"label={label}" for label in self.labels)])


def parse_query(text: str, flag: str) -> str:
    """The same query in its one form, once it is known to be one."""
    return str(DeviceQuery.parse(text, flag))


def _refusal(part: str, word: str, flag: str) -> str:
    hint = did_you_mean(word or part, WORDS)
    known = ", ".join(f"{one}=..." for one in WORDS)
    return f"{flag} does not know {part!r}{hint}; write {known}, with spaces between them"
