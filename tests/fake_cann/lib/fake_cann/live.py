"""The state behind the `acl` of this process, for those who steer the fake from inside it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .runtime import Runtime

RUNTIME: Runtime | None = None
