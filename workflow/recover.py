"""`rankwise recover`: label-free training that brings quality back after decomposition."""

from __future__ import annotations

from pathlib import Path

from .. import documents
from ..db.url import companion
from ..factors.planned_network import PlannedNetwork
from ..models.output_files import NETWORKS, check_output
from ..options.keywords import arguments_for, takes
from ..options.networks import RecoverOptions
from ..reporter import Listeners
from ..training.freezing import Freezing
from ..training.recovery import Options
from ..training.recovery_job import RecoveryJob
from ..training.schedule import Budget
from ..training.threads import torch_threads


@takes(RecoverOptions)
def recover(options: RecoverOptions) -> documents.Recovery:
    """Train the plan's network to answer as the original does; write the best state to `output`.

    The fit split is trained on, the select split decides what is kept and when to stop, the
    report split is read once at the end. A checkpoint beside `output` lets `resume` go on. The
    document is written beside `output`, too. Raises `GoalNotReached` where no state was better than
    the plan's own, which is written then unless a file is there already; `UsageError` and its
    children before any work.

    >>> done = rw.recover(
    ...     plan,
    ...     network,
    ...     example,
    ...     data="pictures.npz",
    ...     output="back.safetensors",
    ...     steps=5,
    ...     rate=0.01,
    ... )
    >>> done.report.after < done.report.before
    True
    """
    budget, freezing = Budget(options.steps, options.budget_s), Freezing.parse(options.freeze)
    training = Options(**arguments_for(Options, options, budget=budget, freezing=freezing))
    training.check()
    check_output(options.output, options.model, options.weights, options.plan, suffixes=NETWORKS)
    planned = PlannedNetwork.load(
        **arguments_for(PlannedNetwork.load, options, cache=companion(options.db, ".cache"))
    )
    pictures = planned.any_pictures(Path(options.data), options.preprocess)
    with torch_threads(options.threads):
        job = RecoveryJob(
            planned.plan,
            planned.network,
            planned.replacements(pictures),
            pictures,
            planned.compared,
            training,
            options.output,
            options.dynamic_batch,
        )
        return job.run(options.resume, Listeners.of(options.reporter))
