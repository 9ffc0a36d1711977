"""Verbs as a run of MLflow."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from typing import Any

from ..documents import Document
from ..errors import UsageError
from .facts import VerbNames, finite, numbers, settings

NOT_ALLOWED = re.compile(r"[^\w\-. :/]")
"""What MLflow takes in no name."""
BATCH = 100
"""Parameters that MLflow takes at once."""


class MlflowTracker:
    """Keeps what verbs do in one run of MLflow: give it as `reporter`.

    The run is `run_id`, else the one that is active (`with mlflow.start_run():`), else a new one in
    `experiment`, which has ended whenever no verb is being done. Where runs are kept is up to
    MLflow (`mlflow.set_tracking_uri`, `MLFLOW_TRACKING_URI`). Raises `UsageError` without MLflow.

    >>> tracker = rw.MlflowTracker(experiment="compression")
    >>> plan = rw.plan(network, example, backend="fake", max_error=0.9, reporter=tracker)
    >>> run = mlflow.get_run(tracker.run_id)
    >>> run.data.params["plan.max_error"], run.info.status
    ('0.9', 'FINISHED')
    >>> run.data.metrics["plan.predicted.speedup"] == plan.predicted.speedup
    True
    """

    def __init__(self, run_id: str | None = None, *, experiment: str = "rankwise") -> None:
        try:
            import mlflow
        except ImportError:
            raise UsageError("MLflow is not here: pip install 'rankwise[mlflow]'") from None
        active = mlflow.active_run()
        self._given = run_id or (active.info.run_id if active else None)
        self._experiment, self._client = experiment, mlflow.MlflowClient()
        self._run_id, self._names = self._given, VerbNames()

    @property
    def run_id(self) -> str | None:
        """The run's id; None before the first verb has begun in a run of its own."""
        return self._run_id

    def began(self, verb: str, options: Mapping[str, Any]) -> None:
        from mlflow.entities import Param

        run_id, name = self._open_run(), self._names.begin(verb)
        told = [Param(_key(name, key), str(value)) for key, value in settings(options).items()]
        for first in range(0, len(told), BATCH):
            self._client.log_batch(run_id, params=told[first : first + BATCH])

    def metrics(self, values: Mapping[str, float], step: int) -> None:
        self._log(self._names.current, finite(values), step)

    def ended(self, verb: str, result: Any) -> None:
        del verb  # it has a name of its own in this run
        name = self._names.end()
        if isinstance(result, Document):
            self._log(name, numbers(result), 0)
            document = result.model_dump(mode="json")
            self._client.log_dict(self._open_run(), document, f"{name}.json")
        if not self._names.within and self._given is None and self._run_id is not None:
            self._client.set_terminated(self._run_id, "FAILED" if result is None else "FINISHED")

    def _log(self, name: str, values: Mapping[str, float], step: int) -> None:
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        found = [Metric(_key(name, key), value, now, step) for key, value in values.items()]
        self._client.log_batch(self._open_run(), metrics=found)

    def _open_run(self) -> str:
        """The run's id. A run that others have written to keeps what they wrote."""
        if self._run_id is None:
            self._run_id = self._new_run()
        elif not self._names.within and self._run_id == self._given:
            self._names = VerbNames(self._client.get_run(self._run_id).data.params)
        return self._run_id

    def _new_run(self) -> str:
        found = self._client.get_experiment_by_name(self._experiment)
        if found is not None:
            place = found.experiment_id
        else:
            place = self._client.create_experiment(self._experiment)
        run_id: str = self._client.create_run(place).info.run_id
        return run_id


def _key(name: str, key: str) -> str:
    return NOT_ALLOWED.sub("_", f"{name}.{key}")
