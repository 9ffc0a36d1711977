"""Contracts that a backend or a kind of decomposition has to hold, as classes for pytest.

    from rankwise.testing import BackendContract, KindContract

A package that brings a backend or a kind inherits them in its own tests. pytest has to be
installed; nothing else in rankwise loads this package.
"""

from __future__ import annotations

import pytest

# Assertions are rewritten as in a test's own module, so that they show their values.
pytest.register_assert_rewrite(
    *(f"{__name__}.{name}" for name in ("backend_cases", "backend_contract", "kind_contract"))
)

from .backend_contract import BackendContract  # noqa: E402 after the line above, or in vain
from .kind_contract import KindContract  # noqa: E402 as above

__all__ = ["BackendContract", "KindContract"]
