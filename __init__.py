"""rankwise: which layers does low-rank decomposition really make faster, on this device?

    import rankwise as rw

    rw.tune(model, example_input, backend="torch-cpu", max_error=0.1)   # all of the following
    rw.profile(model, example_input, backend="torch-cpu")
    rw.table()                           # a pandas frame
    plan = rw.plan(model, example_input, backend="torch-cpu", max_error=0.1)
    smaller = rw.apply(plan, model, example_input)  # a module of the model's class
    rw.verify(plan, model, example_input)
    rw.load("smaller.safetensors", model)           # what `apply(..., output=...)` wrote
    rw.write_report(plan, "report.html")            # a page to send to others
    rw.export_store("lab.zip")                      # and the other `db` commands: `*_store`

Every verb takes the same words as the command of that name: `options` has them. Verbs return
documents: objects with attributes, whose units are in their names (`latency_s`, `moved_bytes`,
`macs`). `repr` says one in a line, `print` as the command does, a notebook shows its tables, and
`model_dump_json()` is what `--json` prints. What takes over two seconds shows its progress: a bar
in a notebook, lines on standard error elsewhere; `reporter` takes something of your own, a tracker
such as `MlflowTracker`, or a list of both.

In the examples of this package `network` is a small `nn.Module`, `example` one input of it, and
`plan` a plan for it; `fake` is a device whose times are arithmetic.

Verbs load on first use, so that importing rankwise stays instant.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .version import __version__ as __version__
from .workflow import verb

if TYPE_CHECKING:
    from .tracking import MlflowTracker, WandbTracker
    from .workflow.apply import apply
    from .workflow.doctor import doctor
    from .workflow.explain import explain
    from .workflow.finetune import finetune
    from .workflow.fleet_devices import fleet_devices
    from .workflow.inspect import devices, layers
    from .workflow.load import load
    from .workflow.pareto import pareto
    from .workflow.plan import plan
    from .workflow.profile import profile
    from .workflow.recover import recover
    from .workflow.report import write_report
    from .workflow.store import (
        check_store,
        export_store,
        import_store,
        prune_store,
        upgrade_store,
    )
    from .workflow.table import table
    from .workflow.tune import tune
    from .workflow.verify import verify
    from .workflow.what_if import what_if

__all__ = [
    "MlflowTracker",
    "WandbTracker",
    "apply",
    "check_store",
    "devices",
    "doctor",
    "explain",
    "export_store",
    "finetune",
    "fleet_devices",
    "import_store",
    "layers",
    "load",
    "pareto",
    "plan",
    "profile",
    "prune_store",
    "recover",
    "table",
    "tune",
    "upgrade_store",
    "verify",
    "what_if",
    "write_report",
]


TRACKERS = ("MlflowTracker", "WandbTracker")


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if name in TRACKERS:
        from . import tracking

        return getattr(tracking, name)
    _show_documents()
    return verb(name)


def _show_documents() -> None:
    """Have documents show themselves to people: in Python they are what verbs return."""
    from .documents import Document
    from .report import notebook

    Document.shown_by = notebook


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
