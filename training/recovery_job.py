"""Recovery from a plan to what it leaves: the network's file, and the document beside it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path

from .. import documents
from ..clock import now_to_the_second
from ..documents.recovery import write_recovery
from ..errors import GoalNotReached
from ..models.compared import Compared
from ..models.fidelity import fidelity
from ..models.network import Network, Replacements
from ..models.network_error import NetworkError
from ..models.notes import calibration_note, error_note, model_note
from ..models.output_files import check_savable
from ..models.pictures import Calibration
from ..models.saving import save_network
from ..models.torch_batches import fitting_batch
from ..records import content_key
from ..reporter import Teller
from ..version import __version__
from .comparison import error_ratio
from .pair import Pair, pair_of
from .recovery import Options, RecoveryRun, Result
from .training_pictures import training_examples


@dataclass(frozen=True)
class RecoveryJob:
    """A plan's network that is to be trained on pictures, and written to `output`.

    `replacements` are the plan's chains with their factors. Raises `GoalNotReached` for none, and
    `UsageError` where the result could not be written.
    """

    plan: documents.Plan
    network: Network
    replacements: Replacements
    pictures: Calibration
    compared: Compared
    options: Options
    output: Path
    dynamic_batch: bool = True

    def __post_init__(self) -> None:
        if not self.replacements:
            raise GoalNotReached("the plan replaces no layer, so there is nothing to recover")
        check_savable(self.before, self.output)
        _ = self.batch  # what cannot be trained is refused before any file is touched

    @cached_property
    def before(self) -> Network:
        """The decomposed network before any training."""
        return self.network.replaced(self.replacements)

    @cached_property
    def pair(self) -> Pair:
        return pair_of(self.network, self.replacements)

    @cached_property
    def batch(self) -> int:
        """The batch that was asked for, or the largest below it that the network takes."""
        return fitting_batch(self.pair.original, self.network.inputs, self.options.batch)

    @property
    def checkpoint(self) -> Path:
        return self.output.with_name(f"{self.output.name}.checkpoint.safetensors")

    def run(self, resume: bool, reporter: Teller) -> documents.Recovery:
        """Train, and write what came out of it.

        Raises `GoalNotReached` where no state was better than the plan's own, which is written
        then unless a file is there already.
        """
        set_aside = self.checkpoint.with_name(f"{self.checkpoint.name}.old")
        if self.checkpoint.exists() and not resume:
            self.checkpoint.replace(set_aside)
            reporter.message(
                f"starting again; what --resume would have gone on from is now {set_aside}"
            )
        _ = self.pictures.report  # a damaged picture is better found now than after the training
        result = self._train(resume, reporter)
        better = result.error_after < result.error_before
        left_alone = not better and self.output.exists()
        document = None if left_alone else self._write(result, reporter)
        for path in (self.checkpoint, set_aside):
            path.unlink(missing_ok=True)
        if better and document is not None:
            return document
        what = "was there before and is left alone" if left_alone else "holds that one"
        raise GoalNotReached(
            f"no state was better than the plan's own (network error {result.error_before:.4f} on "
            f"the select split); {self.output} {what}: give more time or more pictures, or a lower "
            "--rate"
        )

    def _train(self, resume: bool, reporter: Teller) -> Result:
        run = RecoveryRun(
            self.pair,
            training_examples(self.pictures, self.network.inputs),
            self.pictures.select,
            self.compared,
            replace(self.options, batch=self.batch),
            place=self.checkpoint,
            key=self._key(),
            pictures=len(self.pictures.split.select),
            teller=reporter,
        )
        try:
            result = run.run(resume)
        except KeyboardInterrupt:
            if not self.checkpoint.exists():
                raise KeyboardInterrupt("interrupted before the first step") from None
            raise KeyboardInterrupt(
                "interrupted; the same command with --resume goes on from where it was"
            ) from None
        if result.stopped == "not_finite":
            reporter.message(
                f"the loss was not finite any more after step {result.steps}: stopped, and the "
                "best state before it is kept; a lower --rate may help"
            )
        return result

    def _key(self) -> str:
        """Return the key of all that a step depends on but the step."""
        return content_key(
            [
                self.network.sha256,
                {name: d.to_json() for name, d in self.plan.decisions.items()},
                self.pictures.sha256,
                [[part.name, part.weight] for part in self.compared.parts],
                json.loads(json.dumps(asdict(self.options))),
                self.batch,
            ]
        )

    def _write(self, result: Result, reporter: Teller) -> documents.Recovery:
        recovered = self.pair.network()
        save_network(recovered, self.output, self.dynamic_batch, reporter)
        document = self._document(result, recovered)
        write_recovery(document, self.output)
        return document

    def _document(self, result: Result, recovered: Network) -> documents.Recovery:
        options = asdict(self.options)
        budget = options.pop("budget")
        return documents.Recovery(
            rankwise_version=__version__,
            at=now_to_the_second(),
            model=model_note(self.network),
            plan_created_at=self.plan.created_at,
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
                    step=look.step,
                    elapsed_s=look.elapsed_s,
                    loss=look.loss,
                    score=look.select_error,
                )
                for look in result.history
            ],
            output=str(self.output),
        )

    def _report(self, recovered: Network) -> documents.ReportChange:
        """Compare on the report split, which is read here, once, after everything is decided."""
        inputs, names = self.pictures.report, self.pictures.names("report")
        wanted = self.network.outputs(inputs)
        before, after = self.before.outputs(inputs), recovered.outputs(inputs)
        was, now = (
            NetworkError.of(self.compared, wanted, one, len(names)) for one in (before, after)
        )
        change = error_ratio(was, now)
        return documents.ReportChange(
            before=change.before,
            after=change.after,
            pictures=len(names),
            examples=len(inputs),
            ratio=change.ratio,
            ratio_low=change.low,
            ratio_high=change.high,
            fidelity_before=fidelity(self.compared, wanted, before),
            fidelity_after=fidelity(self.compared, wanted, after),
            errors_before=error_note(was, names),
            errors_after=error_note(now, names),
        )
