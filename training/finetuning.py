"""What a user's own training function is handed, and what is kept of its work."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from torch import Tensor

from ..errors import GoalNotReached, RankwiseError, UsageError, first_line
from ..reporter import Reporter, Silent, Teller
from ..sources.callables import find_callable
from . import checkpoint
from .freezing import Freezing
from .pair import Pair, parameter_groups
from .schedule import Budget


class TrainingFunction(Protocol):
    """`groups` are for a torch optimiser: `{"name": "factors" | "rest", "params": [...]}`.

    Trains `model` in place; what it returns is not looked at. It calls `callbacks.step()` after
    each step of its optimiser and, if it has a validation set, `callbacks.evaluated(loss)`
    whenever it has looked at it, and ends when one of them is false.
    """

    def __call__(self, model: Any, groups: list[dict[str, Any]], callbacks: Callbacks) -> Any: ...


@dataclass(frozen=True, slots=True)
class Validation:
    """What the function said of its validation set at a step; a lower `loss` is better."""

    step: int
    elapsed_s: float
    loss: float


@dataclass(slots=True)
class Callbacks:
    """Tells the product of the function's progress, and the function when to end."""

    pair: Pair
    freezing: Freezing
    budget: Budget
    teller: Teller = field(default_factory=Silent)
    history: list[Validation] = field(default_factory=list)
    steps: int = 0
    stopped: str = "function"
    _started: float = field(default_factory=time.monotonic)
    _best: dict[str, Tensor] = field(default_factory=dict)
    _best_loss: float = math.inf

    def __post_init__(self) -> None:
        self.freezing.apply(self.pair.student, self.pair.chains, 0)

    @property
    def elapsed_s(self) -> float:
        return time.monotonic() - self._started

    def step(self) -> bool:
        """A step of the optimiser is done. Freezes the factors whose turn comes next.

        Gradients of factors that were just frozen are dropped, or an optimiser would go on using
        them. False when the budget is used up.
        """
        self.steps += 1
        before = self.freezing.turn(self.steps - 1)
        if self.freezing.turn(self.steps) != before:
            self.freezing.apply(self.pair.student, self.pair.chains, self.steps)
            for parameter in self.pair.student.parameters():
                if not parameter.requires_grad:
                    parameter.grad = None
        share = self._share()
        self.teller.progress(100 * share, 100, f"step {self.steps}")
        if share >= 1:
            self.stopped = "budget"
        return share < 1 and self.stopped != "not_finite"

    def _share(self) -> float:
        return self.budget.progress(self.steps, self.elapsed_s)

    def evaluated(self, loss: float | Tensor) -> bool:
        """A validation loss: the state with the lowest one is kept in the end.

        False when it is not finite: training has failed and should end.
        """
        value = float(loss.detach() if isinstance(loss, Tensor) else loss)
        if not math.isfinite(value):
            self.stopped = "not_finite"
            return False
        self.history.append(Validation(self.steps, self.elapsed_s, value))
        self.teller.metrics({"validation_loss": value}, self.steps)
        if value < self._best_loss:
            state = self.pair.student.state_dict()
            self._best_loss = value
            self._best = {name: tensor.detach().clone() for name, tensor in state.items()}
        return self._share() < 1

    @property
    def has_best(self) -> bool:
        """Whether the function has reported a finite loss."""
        return bool(self._best)

    def is_finite(self) -> bool:
        """Whether the last loss and all weights are numbers."""
        state = self.pair.student.state_dict().values()
        return self.stopped != "not_finite" and all(bool(t.isfinite().all()) for t in state)

    def keep_best(self) -> None:
        """Put the best state that `evaluated` has seen into the model, if there is any."""
        if self._best:
            self.pair.student.load_state_dict(self._best)


def train_student(pair: Pair, function: TrainingFunction, callbacks: Callbacks) -> None:
    """Let `function` train the pair's student, in train mode; the best state is in it then.

    Whatever the function raises goes through; the student is in eval mode in any case.
    """
    pair.student.requires_grad_(True)
    groups = parameter_groups(pair.student, pair.chains)
    callbacks.freezing.apply(pair.student, pair.chains, 0)
    pair.student.train()
    try:
        function(pair.student, groups, callbacks)
    finally:
        callbacks.keep_best()
        pair.student.eval().requires_grad_(False)


def named_function(function: str | TrainingFunction) -> tuple[str, TrainingFunction]:
    """Return a function's name and itself, looked up where it is `package.module:callable`."""
    if isinstance(function, str):
        return function, find_callable(function)[0]
    kind = getattr(function, "__qualname__", type(function).__qualname__)
    return f"{getattr(function, '__module__', '')}:{kind}", function


@contextmanager
def rescued(callbacks: Callbacks, output: Path, reporter: Reporter) -> Iterator[None]:
    """Write what was trained by then beside `output` if the block raises, and say so."""
    try:
        yield
    except BaseException:
        if callbacks.steps and (callbacks.has_best or callbacks.is_finite()):
            path = output.with_name(f"{output.name}.unsaved.safetensors")
            checkpoint.write(path, callbacks.pair.student.state_dict(), {"steps": callbacks.steps})
            what = "the best state" if callbacks.has_best else "the last state"
            reporter.message(f"{what} that was trained is in {path}")
        raise


@contextmanager
def users_errors(name: str, output: Path) -> Iterator[None]:
    """Turn whatever the user's function raises into one sentence with its name."""
    try:
        yield
    except RankwiseError:
        raise
    except KeyboardInterrupt:
        raise KeyboardInterrupt(f"interrupted in {name}; {output} was not written") from None
    except SystemExit:
        raise UsageError(f"{name} ended the program, and training with it") from None
    except Exception as error:
        raise UsageError(f"{name} failed: {first_line(error)}") from error


def check_trained(callbacks: Callbacks, name: str, output: Path) -> None:
    """Raises `GoalNotReached` where the function left nothing that is worth writing."""
    if not callbacks.has_best and not callbacks.is_finite():
        raise GoalNotReached(
            f"{name} left weights or a first loss that are not finite: {output} was not written"
        )
