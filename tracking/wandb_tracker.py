"""Verbs as a run of Weights & Biases."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

from ..documents import Document
from ..errors import UsageError
from .facts import VerbNames, finite, numbers, settings


class WandbTracker:
    """Keeps what verbs do in one run of Weights & Biases: give it as `reporter`.

    The run is the one that is there (`wandb.init()`), else a new one with these settings
    (`project="rankwise"` unless told otherwise; `mode="offline"` needs no account), which `close`
    or the end of a `with` block finishes. Raises `UsageError` without the package `wandb`.

    >>> with rw.WandbTracker(project="compression", mode="offline") as tracker:
    ...     plan = rw.plan(network, example, backend="fake", max_error=0.9, reporter=tracker)
    ...     tracker.run.summary["plan.predicted.speedup"] == plan.predicted.speedup
    True
    """

    def __init__(self, **init: Any) -> None:
        try:
            import wandb
        except ImportError:
            raise UsageError("wandb is not here: pip install 'rankwise[wandb]'") from None
        self._own = wandb.run is None
        self.run: Any = wandb.run or wandb.init(**{"project": "rankwise", **init})
        self._names = VerbNames(dict(self.run.config))

    def began(self, verb: str, options: Mapping[str, Any]) -> None:
        name = self._names.begin(verb)
        self.run.config.update({f"{name}.{key}": one for key, one in settings(options).items()})
        self.run.define_metric(f"{name}.step", hidden=True)
        self.run.define_metric(f"{name}.*", step_metric=f"{name}.step")

    def metrics(self, values: Mapping[str, float], step: int) -> None:
        name = self._names.current
        told = {f"{name}.{key}": value for key, value in finite(values).items()}
        self.run.log({**told, f"{name}.step": step})

    def ended(self, verb: str, result: Any) -> None:
        name = self._names.end()
        if not isinstance(result, Document):
            return
        import wandb

        self.run.summary.update({f"{name}.{key}": one for key, one in numbers(result).items()})
        artifact = wandb.Artifact(f"{self.run.id}-{name}", type=f"rankwise.{verb}")
        with artifact.new_file(f"{name}.json") as file:
            file.write(result.model_dump_json(indent=2))
        self.run.log_artifact(artifact)

    def close(self) -> None:
        """Finish the run, unless it was there before."""
        if self._own:
            self.run.finish()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
