"""`rankwise recover`: label-free training that brings quality back after decomposition."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import __version__, documents
from ..campaign.setup import load, model_note
from ..documents.plan_files import read_plan
from ..errors import GoalNotReached, UsageError
from ..models.output_files import NETWORKS, check_output, check_savable
from ..planner.plan_document import calibration_note
from ..records import content_key
from ..reporter import Reporter, Silent
from .apply import any_pictures, assembly_for
from .store import DEFAULT_DB

if TYPE_CHECKING:
    from ..models.network import Network, Replacements
    from ..models.pictures import Calibration
    from ..training.pair import Pair
    from ..training.recovery import Options, Result


def recover(
    plan: documents.Plan | Path | str,
    model: Any,
    example_input: Any = None,
    *,
    data: Path,
    output: Path,
    preprocess: str | None = None,
    budget_s: float | None = None,
    steps: int | None = None,
    batch: int = 8,
    rate: float = 5e-4,
    features: float = 1.0,
    freeze: str = "none",
    seed: int = 0,
    threads: int | None = None,
    resume: bool = False,
    db: str = DEFAULT_DB,
    weights: Path | None = None,
    reporter: Reporter | None = None,
) -> documents.Recovery:
    """Train the plan's network to answer as the original does; write the best state to `output`.

    The fit split is trained on, the select split decides what is kept and when to stop, the
    report split is read once at the end. A checkpoint beside `output` lets `resume` go on. The
    document is written beside `output`, too. Raises `GoalNotReached` where no state was better than
    the plan's own, which is written then unless a file is there already; `UsageError` and its
    children before any work.
    """
    from ..training.freezing import Freezing
    from ..training.recovery import Options
    from ..training.schedule import Budget

    options = Options(
        Budget(steps, budget_s), batch, rate, features, Freezing.parse(freeze), seed=seed
    )
    options.check()
    check_output(output, model, weights, plan, suffixes=NETWORKS)
    document = read_plan(plan)
    network = load(
        model,
        example_input=example_input,
        weights=weights,
        input_shape=document.model.input_shape,
    )
    pictures = any_pictures(document, network, Path(data), preprocess)
    with torch_threads(threads):
        work = _Work(document, network, pictures, Path(data), options, output, db)
        return work.run(resume, reporter or Silent())


@contextmanager
def torch_threads(count: int | None) -> Iterator[None]:
    """Torch's threads belong to the process: set for the training, then as they were."""
    import torch

    before = torch.get_num_threads()
    if count is not None and count < 1:
        raise UsageError(f"--threads must be at least 1, not {count}")
    torch.set_num_threads(count or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def replacements_of(
    document: documents.Plan, network: Network, pictures: Calibration | None, db: str
) -> Replacements:
    """The plan's chains with their factors, by layer name."""
    own = pictures if document.calibration else None
    assembly = assembly_for(document, network, own, db)
    return {name: assembly.replacement(name, d) for name, d in document.decisions.items()}


def checkpoint_place(output: Path) -> Path:
    return output.with_name(f"{output.name}.checkpoint.safetensors")


def document_place(output: Path) -> Path:
    return output.with_name(f"{output.stem}.recovery.json")


def write_document(document: documents.Recovery, output: Path) -> None:
    from ..models.files import write_whole

    text = document.model_dump_json(indent=2) + "\n"
    write_whole(document_place(output), lambda place: place.write_text(text, encoding="utf-8"))


class _Work:
    """One run of `recover`."""

    def __init__(
        self,
        document: documents.Plan,
        network: Network,
        pictures: Calibration,
        data: Path,
        options: Options,
        output: Path,
        db: str,
    ) -> None:
        from ..models.torch_batches import fitting_batch
        from ..training.pair import pair_of

        self.document, self.network, self.pictures = document, network, pictures
        self.options, self.output, self.data = options, output, data
        replacements = replacements_of(document, network, pictures, db)
        if not replacements:
            raise GoalNotReached("the plan replaces no layer, so there is nothing to recover")
        self.before = network.replaced(replacements)
        check_savable(self.before, output)
        self.pair: Pair = pair_of(network, replacements)
        self.batch = fitting_batch(self.pair.original, network.input_shape, options.batch)

    def run(self, resume: bool, reporter: Reporter) -> documents.Recovery:
        from dataclasses import replace

        from ..models.training_pictures import training_examples
        from ..training.recovery import RecoveryRun

        place = checkpoint_place(self.output)
        old = place.with_name(f"{place.name}.old")
        if place.exists() and not resume:
            place.replace(old)
            reporter.message(f"starting again; what --resume would have gone on from is now {old}")
        _ = self.pictures.report  # a damaged picture is better found now than after the training
        work = RecoveryRun(
            self.pair,
            training_examples(self.data, self.pictures, self.network.input_shape),
            self.pictures.select,
            replace(self.options, batch=self.batch),
            place=place,
            key=self._key(),
            pictures=len(self.pictures.split.select),
            tell=lambda share, text: reporter.progress(100 * share, 100, text),
        )
        try:
            result = work.run(resume)
        except KeyboardInterrupt:
            if not place.exists():
                raise KeyboardInterrupt("interrupted before the first step") from None
            raise KeyboardInterrupt(
                "interrupted; the same command with --resume goes on from where it was"
            ) from None
        if result.stopped == "not_finite":
            reporter.message(
                f"the loss was not finite any more after step {result.steps}: stopped, and the "
                "best state before it is kept; a lower --rate may help"
            )
        better = result.error_after < result.error_before
        kept = not better and self.output.exists()
        document = None if kept else self._written(result)
        for one in (place, old):
            one.unlink(missing_ok=True)
        if better and document is not None:
            return document
        what = "was there before and is left alone" if kept else "holds that one"
        raise GoalNotReached(
            f"no state was better than the plan's own (network error {result.error_before:.4f} on "
            f"the select split); {self.output} {what}: give more time or more pictures, or a lower "
            "--rate"
        )

    def _written(self, result: Result) -> documents.Recovery:
        recovered = self.pair.network()
        recovered.save(self.output)
        document = self._document(result, recovered)
        write_document(document, self.output)
        return document

    def _key(self) -> str:
        """Of all that a step depends on but the step."""
        return content_key(
            [
                self.network.sha256,
                {name: d.to_json() for name, d in self.document.decisions.items()},
                self.pictures.sha256,
                json.loads(json.dumps(asdict(self.options))),
                self.batch,
            ]
        )

    def _document(self, result: Result, recovered: Network) -> documents.Recovery:
        options = asdict(self.options)
        budget = options.pop("budget")
        return documents.Recovery(
            rankwise_version=__version__,
            at=datetime.now(UTC).isoformat(timespec="seconds"),
            model=model_note(self.network),
            plan_created_at=self.document.created_at,
            method="distillation",
            data=calibration_note(self.pictures),
            options={
                **options,
                "steps": budget["steps"],
                "budget_s": budget["seconds"],
                "freezing": str(self.options.freezing),
                "batch": self.batch,
            },
            steps=result.steps,
            elapsed_s=result.elapsed_s,
            stopped=result.stopped,
            select=documents.ErrorChange(before=result.error_before, after=result.error_after),
            report=self._report(recovered),
            history=[
                documents.TrainingPoint(
                    step=one.step, elapsed_s=one.elapsed_s, loss=one.loss, score=one.select_error
                )
                for one in result.history
            ],
            output=str(self.output),
        )

    def _report(self, recovered: Network) -> documents.ReportChange:
        """The report split is read here, once, after everything is decided."""
        from ..models.fidelity import fidelity
        from ..training.comparison import error_ratio

        inputs, pictures = self.pictures.report, len(self.pictures.split.report)
        wanted = self.network.outputs(inputs)
        before, after = self.before.outputs(inputs), recovered.outputs(inputs)
        found = error_ratio(wanted, before, after, pictures)
        return documents.ReportChange(
            before=found.before,
            after=found.after,
            pictures=pictures,
            examples=len(inputs),
            ratio=found.ratio,
            ratio_low=found.low,
            ratio_high=found.high,
            fidelity_before=fidelity(wanted, before),
            fidelity_after=fidelity(wanted, after),
        )
