"""What values have in common: a JSON document, and the content key of it.

A content key is the first 32 hex digits of the SHA-256 of a value's canonical JSON, so equal
values have equal keys in every process, on every machine, and in every version of the store.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import fields
from typing import Any, ClassVar, Self

KEY_DIGITS = 32


_encoded = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode
"""Made once: `json.dumps` makes an encoder for every value, and stores ask for many keys."""


def canonical_json(value: object) -> str:
    """JSON with sorted keys and no spaces: one text for one value."""
    return _encoded(value)


def content_key(value: object) -> str:
    """The content key of anything that JSON can hold."""
    return text_key(canonical_json(value))


def text_key(canonical: str) -> str:
    """The content key of what has this canonical JSON."""
    return hashlib.sha256(canonical.encode()).hexdigest()[:KEY_DIGITS]


def _frozen(value: Any) -> Any:
    return tuple(_frozen(v) for v in value) if isinstance(value, list) else value


class Jsonable:
    """`to_json` / `from_json` for flat dataclasses whose sequences are tuples."""

    __slots__ = ()
    LATER: ClassVar[tuple[str, ...]] = ()
    """Fields that came later: left out where empty, so that keys made before them stay."""

    def to_json(self) -> dict[str, Any]:
        # not `asdict`, whose deep copies are most of the time that a key takes
        values = {f.name: getattr(self, f.name) for f in fields(self)}  # type: ignore[arg-type]
        return {name: value for name, value in values.items() if value or name not in self.LATER}

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Self:
        known = {f.name for f in fields(cls)}  # type: ignore[arg-type]
        return cls(**{k: _frozen(v) for k, v in document.items() if k in known})


class Keyed(Jsonable):
    """A value that has a content key."""

    __slots__ = ()

    @property
    def key(self) -> str:
        return content_key(self.to_json())
