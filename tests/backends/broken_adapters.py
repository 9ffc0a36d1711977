"""A list of adapters with mistakes, each a function that puts one mistake in."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from rankwise.backends.ascend_acl import AscendAclBackend

Patch = pytest.MonkeyPatch
Mistake = Callable[[Patch], None]
Life = Callable[[Any, AscendAclBackend], list[str]]


class BrokenAdapters(dict[str, Mistake]):
    """Mistakes by what they are; called with that, a decorator that notes the function."""

    def __call__(self, name: str) -> Callable[[Mistake], Mistake]:
        def note(mistake: Mistake) -> Mistake:
            self[name] = mistake
            return mistake

        return note
