"""rankwise: which layers does low-rank decomposition really make faster, on this device?

    import rankwise as rw

    rw.profile(model, example_input, backend="torch-cpu")
    rw.table(model)                      # a pandas frame
    plan = rw.plan(model, backend="torch-cpu", max_error=0.1)
    smaller = rw.apply(plan, model)
    rw.verify(plan, model)

Every verb takes the same words as the command of that name. They load on first use, so that
importing rankwise stays instant.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .workflow.apply import apply
    from .workflow.doctor import doctor
    from .workflow.explain import explain
    from .workflow.finetune import finetune
    from .workflow.inspect import devices, layers
    from .workflow.pareto import pareto
    from .workflow.plan import plan
    from .workflow.profile import profile
    from .workflow.recover import recover
    from .workflow.table import table
    from .workflow.verify import verify
    from .workflow.what_if import what_if

__version__ = "0.1.0"
__all__ = [
    "apply",
    "devices",
    "doctor",
    "explain",
    "finetune",
    "layers",
    "pareto",
    "plan",
    "profile",
    "recover",
    "table",
    "verify",
    "what_if",
]

_HOME = {
    "apply": "apply",
    "devices": "inspect",
    "doctor": "doctor",
    "explain": "explain",
    "finetune": "finetune",
    "layers": "inspect",
    "pareto": "pareto",
    "plan": "plan",
    "profile": "profile",
    "recover": "recover",
    "table": "table",
    "verify": "verify",
    "what_if": "what_if",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".workflow.{_HOME[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
