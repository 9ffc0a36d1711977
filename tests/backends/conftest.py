"""The contract's assertions are rewritten like a test's, so that they show their values."""

import pytest

pytest.register_assert_rewrite("rankwise.backends.contract")
