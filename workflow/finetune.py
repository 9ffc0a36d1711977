"""`rankwise finetune`: the user's own training, with the plan applied."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import __version__, documents
from ..campaign.setup import load, model_note
from ..documents.plan_files import read_plan
from ..errors import GoalNotReached, RankwiseError, UsageError
from ..factors.planned_network import check_network
from ..models.output_files import NETWORKS, check_output, check_savable
from ..reporter import Reporter, Silent
from .apply import plan_pictures
from .recover import replacements_of, torch_threads, write_document
from .store import DEFAULT_DB

if TYPE_CHECKING:
    from ..training.finetuning import Callbacks


def finetune(
    plan: documents.Plan | Path | str,
    function: str | Callable[..., Any],
    *,
    output: Path,
    model: Any = None,
    example_input: Any = None,
    weights: Path | None = None,
    budget_s: float | None = None,
    steps: int | None = None,
    freeze: str = "none",
    calibration: Path | None = None,
    preprocess: str | None = None,
    threads: int | None = None,
    db: str = DEFAULT_DB,
    reporter: Reporter | None = None,
) -> documents.Recovery:
    """Hand the decomposed network to `function(model, groups, callbacks)`; write what it trained.

    `function` is a callable or `package.module:callable`; `training.finetuning` says what it is
    given. `model` is the plan's own source unless told otherwise. The state with the lowest
    validation loss that the function reported is kept, or its last one. Raises `UsageError` and
    its children before any training, and if the function fails: then that state is beside `output`
    in `OUT.unsaved.safetensors`.
    """
    from ..training.finetuning import Callbacks, finetune
    from ..training.freezing import Freezing
    from ..training.pair import pair_of
    from ..training.schedule import Budget

    freezing, budget = Freezing.parse(freeze), Budget(steps, budget_s)
    if budget != Budget():
        budget.check()
    document = read_plan(plan)
    source = document.model.source if model is None else model
    check_output(output, source, weights, plan, suffixes=NETWORKS)
    name, call = _function(function)
    network = load(
        source,
        example_input=example_input,
        weights=weights,
        input_shape=document.model.input_shape,
    )
    check_network(document, network)
    pictures = plan_pictures(document, calibration, preprocess)
    replacements = replacements_of(document, network, pictures, db)
    check_savable(network.replaced(replacements), output)
    pair = pair_of(network, replacements)
    tell = reporter or Silent()
    callbacks = Callbacks(pair, freezing, budget, lambda s, t: tell.progress(100 * s, 100, t))
    with torch_threads(threads), rescued(callbacks, output, tell):
        try:
            finetune(pair, call, callbacks)
        except RankwiseError:
            raise
        except KeyboardInterrupt:
            raise KeyboardInterrupt(f"interrupted in {name}; {output} was not written") from None
        except SystemExit:
            raise UsageError(f"{name} ended the program, and training with it") from None
        except Exception as error:
            # The user's code may raise anything.
            raise UsageError(f"{name} failed: {_first_line(error)}") from error
        if not callbacks.has_best and not callbacks.is_finite():
            raise GoalNotReached(
                f"{name} left weights or a first loss that are not finite: {output} was not written"
            )
        if not callbacks.steps:
            tell.message(f"{name} never called callbacks.step(): was anything trained?")
        pair.network().save(output)
    result = _document(document, network, name, callbacks, output)
    write_document(result, output)
    if result.stopped == "not_finite":
        raise GoalNotReached(
            f"{name} reported a loss that is not finite; {output} holds the best state before it"
        )
    return result


@contextmanager
def rescued(callbacks: Callbacks, output: Path, reporter: Reporter) -> Iterator[None]:
    """What was trained is written beside `output` where it does not get there, and said."""
    from ..training import checkpoint

    try:
        yield
    except BaseException:
        if callbacks.steps and (callbacks.has_best or callbacks.is_finite()):
            place = output.with_name(f"{output.name}.unsaved.safetensors")
            checkpoint.write(place, callbacks.pair.student.state_dict(), {"steps": callbacks.steps})
            what = "the best state" if callbacks.has_best else "the last state"
            reporter.message(f"{what} that was trained is in {place}")
        raise


def _function(function: str | Callable[..., Any]) -> tuple[str, Callable[..., Any]]:
    from ..models.callables import find_callable

    if not isinstance(function, str):
        kind = getattr(function, "__qualname__", type(function).__qualname__)
        return f"{getattr(function, '__module__', '')}:{kind}", function
    return function, find_callable(function)[0]


def _first_line(error: Exception) -> str:
    from ..models.network import first_line

    return first_line(error)


def _document(
    plan: documents.Plan, network: Any, name: str, callbacks: Callbacks, output: Path
) -> documents.Recovery:
    return documents.Recovery(
        rankwise_version=__version__,
        at=datetime.now(UTC).isoformat(timespec="seconds"),
        model=model_note(network),
        plan_created_at=plan.created_at,
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
