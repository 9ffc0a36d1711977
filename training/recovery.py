"""Label-free recovery: the decomposed network learns what the original says.

Each step draws examples of the fit split by (seed, step) alone, and everything else that a step
depends on is in the checkpoint, so that a run with a step budget that was interrupted ends, on
the CPU, with the same weights as one that was not. The select split decides which state is kept
and when to stop; the report split is not seen here.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..errors import UsageError
from ..inputs.examples import Examples, Given, Takes
from ..models.compared import Compared
from ..models.torch_batches import outputs
from ..reporter import Silent, Teller
from . import checkpoint
from .batch_norm import batch_norms, reestimate
from .channel_statistics import ChannelStatistics, examples_at_once
from .distillation import Distillation
from .freezing import Freezing
from .interruption import after_the_step
from .pair import Pair, relative_groups
from .schedule import Budget, cosine
from .selection import Selection
from .training_pictures import TrainingExamples

EVALUATIONS = 20
"""How often the select split is looked at over the whole budget."""
EARLY_FROM = 0.5
"""Share of the budget before which nothing stops early: the rate is still high, and most of what
is gained is gained while it falls."""
CHECKPOINT_S = 30.0
STATISTICS = 128
"""Examples that batch normalisation's statistics are estimated from."""
AVERAGING = 0.97
"""Weights are judged, and kept, as their running average over about 30 steps: single steps of
small batches shake a network's few outputs more than they improve them (Polyak and Juditsky
1992)."""


@dataclass(frozen=True, slots=True)
class Options:
    """`rate` is the highest one, relative to the size of each weight (see `relative_groups`);
    `features` weighs the outputs of replaced layers against the network's; `patience` counts
    evaluations."""

    budget: Budget
    batch: int = 8
    rate: float = 5e-4
    features: float = 1.0
    freezing: Freezing = field(default_factory=Freezing)
    patience: int = 10
    seed: int = 0

    def check(self) -> None:
        self.budget.check()
        for name in ("batch", "rate", "patience"):
            if not getattr(self, name) > 0:
                raise UsageError(f"--{name} must be more than 0, not {getattr(self, name)}")
        if self.features < 0:
            raise UsageError(f"--features must be at least 0, not {self.features}")


@dataclass(frozen=True, slots=True)
class Evaluation:
    """`loss` is the mean since the evaluation before, `select_error` that of the network."""

    step: int
    elapsed_s: float
    loss: float | None
    select_error: float


@dataclass(frozen=True, slots=True)
class Result:
    """`stopped`: `budget`, `early` (no better for a while) or `not_finite`."""

    steps: int
    elapsed_s: float
    stopped: str
    error_before: float
    error_after: float
    history: tuple[Evaluation, ...]


class RecoveryRun:
    """One run. The pair's student holds the best state when `run` returns."""

    def __init__(
        self,
        pair: Pair,
        examples: TrainingExamples,
        select: Given,
        compared: Compared,
        options: Options,
        *,
        place: Path | None = None,
        key: str = "",
        pictures: int | None = None,
        teller: Teller | None = None,
    ) -> None:
        """`select`: the split's examples. `place`: the checkpoint's file. `key` says what is
        trained on what: a checkpoint with another one is refused. `pictures`: how many the select
        split's examples are of, those of one picture together and equally many of each; by default
        every example is its own."""
        self.pair, self.examples, self.options = pair, examples, options
        self._select, self._place, self._key = select, place, key
        self._teller = teller or Silent()
        self._compared = compared
        self._selection = Selection(
            outputs(pair.original, select, options.batch), compared, pictures or len(select)
        )
        pair.original.requires_grad_(False)
        pair.student.requires_grad_(True)
        self._optimizer = torch.optim.Adam(relative_groups(pair.student, pair.chains))
        self._step, self._elapsed_s = 0, 0.0
        self._losses: list[float] = []
        self._history: list[Evaluation] = []
        self._best: dict[str, Tensor] = {}
        self._mean: dict[str, Tensor] = {}

    def run(self, resume: bool = False) -> Result:
        """Raises `UsageError` if there is nothing to resume from, or it is another run's.

        Ctrl-C raises `KeyboardInterrupt` after the step under way, with a checkpoint of it.
        """
        if resume:
            self._load()
        else:
            self._begin()
        stopped = self._train()
        self._finish()
        return Result(
            self._step,
            self._elapsed_s,
            stopped,
            self._selection.error_before,
            self._selection.best_error,
            tuple(self._history),
        )

    def _begin(self) -> None:
        """What the plan made, or what statistics alone make of it, whichever is better."""
        self._evaluate()
        for fit in (self._fit_batch_norms, self._match_channels):
            if fit():
                self._evaluate(trained=False)
                self.pair.student.load_state_dict(self._best)
        self._mean = self._state()

    def _fit_batch_norms(self) -> bool:
        """Estimate their statistics again; false where there are none, or none from this batch."""
        if not batch_norms(self.pair.student):
            return False
        count = math.ceil(STATISTICS / self.options.batch)
        try:
            reestimate(self.pair.student, self._drawn(count, 1))
        except ValueError:
            return False
        return True

    def _match_channels(self) -> bool:
        if self._channels is not None:
            self._channels.match()
        return self._channels is not None

    @cached_property
    def _channels(self) -> ChannelStatistics | None:
        """None where a network takes only a few examples at once: all are needed together."""
        size = examples_at_once(self.pair.original, self._takes)
        return ChannelStatistics(self.pair, next(self._drawn(1, 2, size))) if size else None

    def _state(self) -> dict[str, Tensor]:
        return {name: tensor.clone() for name, tensor in self.pair.student.state_dict().items()}

    def _average(self) -> None:
        """Take the student's weights into the running average."""
        share = 1 - min(AVERAGING, (1 + self._step) / (10 + self._step))
        for name, tensor in self.pair.student.state_dict().items():
            if tensor.is_floating_point():
                self._mean[name].lerp_(tensor, share)

    def _train(self) -> str:
        """Until the budget is used up or there is a reason to stop, which is returned."""
        started, saved = time.monotonic() - self._elapsed_s, time.monotonic()
        features = self.options.features
        learning = Distillation(self.pair, self._compared, features)
        with learning as distillation, after_the_step() as interrupted:
            while (share := self._share()) < 1:
                if interrupted():
                    self.save()
                    raise KeyboardInterrupt
                if share >= EARLY_FROM and self._selection.stale >= self.options.patience:
                    return "early"
                loss = self._train_step(distillation, share)
                if not math.isfinite(loss):
                    return "not_finite"
                self._losses.append(loss)
                self._average()
                self._step += 1
                self._elapsed_s = time.monotonic() - started
                if int(self._share() * EVALUATIONS) > int(share * EVALUATIONS):
                    self._look()
                if time.monotonic() - saved > CHECKPOINT_S:
                    self.save()
                    saved = time.monotonic()
        return "budget"

    def _share(self) -> float:
        return self.options.budget.progress(self._step, self._elapsed_s)

    def _train_step(self, distillation: Distillation, share: float) -> float:
        """One step of the optimiser; nothing changes if the loss is not finite."""
        rate = self.options.rate * cosine(share)
        for group in self._optimizer.param_groups:
            group["lr"] = rate * group["size"]
        self.options.freezing.apply(self.pair.student, self.pair.chains, self._step)
        self._optimizer.zero_grad(set_to_none=True)
        loss = distillation.loss(self._inputs(self._step))
        value = loss.item()
        if math.isfinite(value):
            loss.backward()  # type: ignore[no-untyped-call]
            self._optimizer.step()
        return value

    @property
    def _takes(self) -> Takes:
        """What the networks take, with the batch that they are trained with."""
        batch = self.options.batch
        if isinstance(self._select, Examples):
            return self._select.inputs.resized(batch)
        return (batch, *self._select.shape[1:])

    def _inputs(self, number: int) -> Given:
        rng = np.random.default_rng([self.options.seed, number])
        return self.examples.batch(self.options.batch, rng)

    def _drawn(self, count: int, purpose: int, size: int | None = None) -> Iterator[Given]:
        """Batches that no step draws: the generator is told of the purpose, too."""
        for number in range(count):
            rng = np.random.default_rng([self.options.seed, number, purpose])
            yield self.examples.batch(size or self.options.batch, rng)

    def _look(self) -> None:
        """Evaluate the average, and go on from where the weights are.

        The mean of the outputs strays while features are learnt, and all pictures' errors with it.
        """
        here = self._state()
        self.pair.student.load_state_dict(self._mean)
        if self._channels is not None:
            self._channels.match_last_mean(self.options.batch)
        self._evaluate()
        self.pair.student.load_state_dict(here)
        before, best = self._selection.error_before, self._selection.best_error
        text = f"network error {before:.4f} -> {best:.4f}"
        self._teller.progress(100 * self._share(), 100, text)
        self._losses.clear()

    def _evaluate(self, trained: bool = True) -> None:
        """Look at the select split; keep the student's state if it is the one to keep by now."""
        answers = outputs(self.pair.student, self._select, self.options.batch)
        error, keep = self._selection.look(answers, trained)
        loss = float(np.mean(self._losses)) if self._losses else None
        self._history.append(Evaluation(self._step, self._elapsed_s, loss, error))
        values = {"select_error": error} | ({} if loss is None else {"loss": loss})
        self._teller.metrics(values, self._step)
        if keep:
            self._best = self._state()

    def _finish(self) -> None:
        """The best state, with statistics estimated anew if that is better still."""
        student = self.pair.student
        student.load_state_dict(self._best)
        if self._fit_batch_norms():
            self._evaluate(trained=False)
            student.load_state_dict(self._best)
        student.requires_grad_(False)

    def save(self) -> None:
        """Everything that the next step depends on, into the checkpoint's file."""
        if self._place is None:
            return
        tensors = {
            **checkpoint.pack("student", self.pair.student.state_dict()),
            **checkpoint.pack("best", self._best),
            **checkpoint.pack("mean", self._mean),
            **checkpoint.pack("optimizer", checkpoint.optimizer_tensors(self._optimizer)),
            "random": torch.get_rng_state(),
        }
        notes: dict[str, Any] = {
            "key": self._key,
            "step": self._step,
            "elapsed_s": self._elapsed_s,
            "losses": self._losses,
            **self._selection.notes(),
            "history": [asdict(one) for one in self._history],
        }
        checkpoint.write(self._place, tensors, notes)

    def _load(self) -> None:
        if self._place is None:
            raise UsageError("there is no checkpoint to resume from")
        tensors, notes = checkpoint.read(self._place)
        if notes["key"] != self._key:
            raise UsageError(
                f"{self._place} belongs to a run with another plan, other pictures or other "
                "options: leave --resume out to start again"
            )
        self.pair.student.load_state_dict(checkpoint.unpack("student", tensors))
        self._best = checkpoint.unpack("best", tensors)
        self._mean = checkpoint.unpack("mean", tensors)
        checkpoint.restore_optimizer(self._optimizer, checkpoint.unpack("optimizer", tensors))
        torch.set_rng_state(tensors["random"])
        self._step, self._elapsed_s = notes["step"], notes["elapsed_s"]
        self._losses = notes["losses"]
        self._selection.restore(notes)
        self._history = [Evaluation(**one) for one in notes["history"]]
