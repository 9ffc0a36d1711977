"""`rankwise finetune`: the user's own training, with the plan applied."""

from __future__ import annotations

from pathlib import Path

from .. import documents
from ..clock import now_to_the_second
from ..db.url import companion
from ..documents.plan_files import read_plan
from ..documents.recovery import write_recovery
from ..errors import GoalNotReached
from ..factors.planned_network import PlannedNetwork
from ..models.notes import model_note
from ..models.output_files import NETWORKS, check_output, check_savable
from ..models.saving import save_network
from ..options.keywords import arguments_for, takes
from ..options.networks import FinetuneOptions
from ..reporter import Listeners
from ..training.finetuning import (
    Callbacks,
    check_trained,
    named_function,
    rescued,
    train_student,
    users_errors,
)
from ..training.freezing import Freezing
from ..training.pair import pair_of
from ..training.schedule import Budget
from ..training.threads import torch_threads
from ..version import __version__


@takes(FinetuneOptions)
def finetune(options: FinetuneOptions) -> documents.Recovery:
    """Hand the decomposed network to `function(model, groups, callbacks)`; write what it trained.

    `function` is a callable or `package.module:callable`; `training.finetuning` says what it is
    given. `model` is the plan's own source unless told otherwise. The state with the lowest
    validation loss that the function reported is kept, or its last one. Raises `UsageError` and
    its children before any training, and if the function fails: then that state is beside `output`
    in `OUT.unsaved.safetensors`.

    >>> def train(model, groups, callbacks):
    ...     optimizer = torch.optim.SGD(groups, lr=1e-4)
    ...     for _ in range(3):
    ...         loss = model(example).square().mean()
    ...         loss.backward()
    ...         optimizer.step()
    ...         callbacks.evaluated(loss)
    ...         callbacks.step()
    >>> done = rw.finetune(
    ...     plan, train, model=network, example_input=example, output="tuned.safetensors"
    ... )
    >>> done.steps, [point.step for point in done.history]
    (3, [0, 1, 2])
    """
    freezing, budget = Freezing.parse(options.freeze), Budget(options.steps, options.budget_s)
    if budget != Budget():
        budget.check()
    name, call = named_function(options.function)
    planned = _planned(options)
    replacements = planned.replacements(planned.pictures(options.calibration, options.preprocess))
    check_savable(planned.network.replaced(replacements), options.output)
    pair, said = pair_of(planned.network, replacements), Listeners.of(options.reporter)
    callbacks = Callbacks(pair, freezing, budget, said)
    with torch_threads(options.threads), rescued(callbacks, options.output, said):
        with users_errors(name, options.output):
            train_student(pair, call, callbacks)
        check_trained(callbacks, name, options.output)
        if not callbacks.steps:
            said.message(f"{name} never called callbacks.step(): was anything trained?")
        save_network(pair.network(), options.output, options.dynamic_batch, said)
    result = _document(planned, name, callbacks, options.output)
    write_recovery(result, options.output)
    if result.stopped == "not_finite":
        raise GoalNotReached(
            f"{name} reported a loss that is not finite; {options.output} holds the best state "
            "before it"
        )
    return result


def _planned(options: FinetuneOptions) -> PlannedNetwork:
    """The plan and its network, for which there has to be a place to write to."""
    document = read_plan(options.plan)
    source = document.model.source if options.model is None else options.model
    check_output(options.output, source, options.weights, options.plan, suffixes=NETWORKS)
    given = {"plan": document, "model": source, "cache": companion(options.db, ".cache")}
    return PlannedNetwork.load(**arguments_for(PlannedNetwork.load, options, **given))


def _document(
    planned: PlannedNetwork, name: str, callbacks: Callbacks, output: Path
) -> documents.Recovery:
    return documents.Recovery(
        rankwise_version=__version__,
        at=now_to_the_second(),
        model=model_note(planned.network),
        plan_created_at=planned.plan.created_at,
        method=name,
        data=None,
        options={
            "freezing": str(callbacks.freezing),
            "steps": callbacks.budget.steps,
            "budget_s": callbacks.budget.seconds,
        },
        steps=callbacks.steps,
        elapsed_s=callbacks.elapsed_s,
        stopped=callbacks.stopped,
        select=None,
        report=None,
        history=[
            documents.TrainingPoint(
                step=one.step, elapsed_s=one.elapsed_s, loss=None, score=one.loss
            )
            for one in callbacks.history
        ],
        output=str(output),
    )
