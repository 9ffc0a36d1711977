"""Calls of torch's operators, seen while a context is on."""

from __future__ import annotations

from typing import Any

from torch.utils._python_dispatch import TorchDispatchMode


class OperatorCalls(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Sees every call of an operator, also those that torch's functions make inside; a class of its
    own says what is done."""

    def __init_subclass__(cls, **settings: Any) -> None:
        super().__init_subclass__(**settings)  # type: ignore[no-untyped-call]

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]

    @classmethod
    def _should_skip_dynamo(cls) -> bool:
        """Torch's own word for not loading its compiler, which takes over a second, to keep it away
        from code that nobody compiles."""
        return False
