"""An Optuna study over the measured candidates: kinds and rank quanta for each layer.

The exact solver knows only sums. The study starts from its solution and may ask for real
measurements of whole plans, which need not add up. It works in memory; each finished trial is
written as one record of a journal file, from which a later run goes on.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import MeasurementError, UsageError
from ..records import content_key
from . import exact
from .encoding import LayerCode, code_layers, encode
from .journal import open_study
from .quiet import quiet_optuna
from .samplers import make_sampler
from .space import Assignment, LayerChoices

if TYPE_CHECKING:
    import optuna

SEED_SHARES = (0.9, 0.75, 0.5)
"""Shares of the error limit whose exact solutions the study tries first."""


@dataclass(frozen=True, slots=True)
class TrialEvent:
    """A finished trial. `value` is None where it failed; `best_value` is over all allowed."""

    number: int
    value: float | None
    allowed: bool
    best_value: float | None


@dataclass(frozen=True, slots=True)
class StudyResult:
    """The best allowed assignment of all trials, of earlier runs too.

    `value` is what was maximised: `measured`'s, else the summed saving in seconds (or the
    negative squared error, where that is minimised). `gap` is the relative distance of the
    best assignment's *sums* to the exact solution's, 0 where it is as good.
    """

    best: Assignment
    value: float
    trials: int
    gap: float
    exact: Assignment


def run_study(
    layers: Sequence[LayerChoices],
    limits: exact.SolverLimits,
    *,
    trials: int,
    sampler: str = "tpe",
    seed: int = 0,
    storage: Path | None = None,
    study_name: str = "rankwise",
    on_trial: Callable[[TrialEvent], None] = lambda _event: None,
    measured: Callable[[Assignment], float] | None = None,
    first: Sequence[Assignment] = (),
    modes: Mapping[str, Collection[str]] | None = None,
    seeded: bool = True,
) -> StudyResult:
    """Go on until the study has `trials` trials, and return the best assignment so far.

    `measured` gives a plan's real value, larger is better, best in seconds saved: plans that
    break a limit are never measured, and stand with a value worse than nothing. A plan that was
    measured is not measured again; where it raises `MeasurementError` the trial fails and the
    study goes on. With `storage` (a file of the study's own) a later call with the same
    layers and limits goes on from there; other layers or limits are another study in it.
    `modes` are named sets of layers, of which each trial may change one set only: the set is
    searched, too. `first` are tried before all others; without them it is the exact solution
    and those for smaller errors, which `seeded` false leaves out, to see what a sampler finds
    alone. The same arguments give the same trials. Raises `GoalNotReached` where the limits
    exclude every plan, `UsageError` for an unknown sampler, `StoreError` for an unusable file.
    """
    import optuna

    if trials < 0:
        raise UsageError(f"The number of trials is {trials}: it has to be zero or more.")
    solution = exact.solve(layers, limits)
    selected = {mode: set(names) for mode, names in (modes or {}).items()}
    name = f"{study_name}-{_digest(layers, limits, measured is not None, selected)}"
    name += "" if seeded else "-unseeded"
    with quiet_optuna():
        journal = None if storage is None else open_study(storage, name)
        earlier = journal.trials if journal is not None else []
        sampling = make_sampler(sampler, _run_seed(seed, len(earlier)))
        study = optuna.create_study(study_name=name, direction="maximize", sampler=sampling)
        run = _Run(layers, limits, study, journal, measured, selected)
        run.replay(earlier)
        left = max(0, trials - len(earlier))
        if left and seeded:
            run.enqueue(first or _seeds(layers, limits, solution))
        for _ in range(left):
            on_trial(run.step())
    return run.result(solution)


def _digest(
    layers: Sequence[LayerChoices],
    limits: exact.SolverLimits,
    measured: bool,
    modes: Mapping[str, Collection[str]],
) -> str:
    """Differs wherever stored trials would mean something else."""
    space = [
        [layer.name, [[c.decomposition.to_json(), c.saving_s, c.error_sq] for c in layer.choices]]
        for layer in layers
    ]
    amounts = [ceiling.limit for ceiling in limits.ceilings]
    # One amount stands by itself, as when parameters were all that could be limited.
    limited = amounts if len(amounts) > 1 else next(iter(amounts), None)
    bounds = [limits.max_error_sq, limited, limits.min_saving_s]
    searched = {mode: sorted(names) for mode, names in modes.items()}
    return content_key([space, bounds, measured, *([searched] if searched else [])])[:12]


def _run_seed(seed: int, earlier: int) -> int:
    """A run that goes on must not sample again what the first one did."""
    import numpy as np

    return int(np.random.SeedSequence([seed % 2**64, earlier]).generate_state(1)[0])


def _seeds(
    layers: Sequence[LayerChoices], limits: exact.SolverLimits, solution: Assignment
) -> list[Assignment]:
    """The exact solution, then those for smaller error limits: allowed, and different."""
    if limits.minimise_error or limits.ceilings or not limits.max_error_sq:
        return [solution]
    seeds = {solution.key: solution}
    for share in SEED_SHARES:
        smaller = replace(limits, max_error_sq=share * limits.max_error_sq)
        other = exact.solve(layers, smaller)
        seeds.setdefault(other.key, other)
    return list(seeds.values())


@dataclass
class _Run:
    """The study in memory, its journal, and the best so far."""

    layers: Sequence[LayerChoices]
    limits: exact.SolverLimits
    study: optuna.Study
    journal: optuna.Study | None
    measured: Callable[[Assignment], float] | None
    modes: Mapping[str, Collection[str]] = field(default_factory=dict)
    best: tuple[float, Assignment] | None = None
    known: dict[str, float] = field(default_factory=dict)
    failed: str = ""

    def __post_init__(self) -> None:
        # What sums call dominated may be the best when it is measured.
        pools = [
            layer.choices if self.measured else exact.pool(layer, self.limits)
            for layer in self.layers
        ]
        self.codes: list[LayerCode] = code_layers(self.layers, pools)
        self.names = tuple(layer.name for layer in self.layers)

    def replay(self, earlier: Sequence[optuna.trial.FrozenTrial]) -> None:
        from optuna.trial import FixedTrial

        for trial in earlier:
            self.study.add_trial(trial)
            assignment = self.assignment(FixedTrial(trial.params))
            if trial.values and self.limits.allow(assignment):
                self.note(assignment, trial.values[0])

    def enqueue(self, seeds: Sequence[Assignment]) -> None:
        for number, seed in enumerate(seeds):
            if seed.key not in self.known:
                params = encode(self.codes, seed.choices) | self.mode_of(seed)
                self.study.enqueue_trial(params, user_attrs={"seed": number})

    def assignment(self, trial: Any) -> Assignment:
        """A layer that the trial's mode does not select keeps its original."""
        mode = trial.suggest_categorical("mode", list(self.modes)) if self.modes else ""
        kept = set(self.names) - set(self.modes[mode]) if mode else set()
        pairs = zip(self.layers, self.codes, strict=True)
        choices = (
            layer.choices[0] if layer.name in kept else code.suggest(trial) for layer, code in pairs
        )
        return Assignment(self.names, tuple(choices))

    def mode_of(self, assignment: Assignment) -> dict[str, str]:
        """The first mode that selects all layers which the assignment changes."""
        changed = assignment.decisions.keys()
        return next(({"mode": m} for m, names in self.modes.items() if changed <= set(names)), {})

    def step(self) -> TrialEvent:
        """Sample, judge, tell and write down one trial."""
        trial = self.study.ask()
        assignment = self.assignment(trial)
        violations = self.limits.violations(assignment)
        for name, excess in violations.items():
            trial.set_constraint(name, excess)
        allowed = all(excess <= 0 for excess in violations.values())
        value = self.value(assignment) if allowed else self.penalty(violations)
        finished = self.tell(trial, value)
        if allowed and value is not None:
            self.note(assignment, value)
        best = self.best[0] if self.best else None
        return TrialEvent(finished.number, value, allowed, best)

    def penalty(self, violations: Mapping[str, float]) -> float:
        """The value of what breaks limits: worse the more it does, and worse than nothing,
        for samplers that know nothing of constraints (CMA-ES, QMC)."""
        worst = 0.0 if not self.limits.minimise_error else -exact.most_error_sq(self.layers)
        return worst - sum(max(excess, 0.0) for excess in violations.values())

    def value(self, assignment: Assignment) -> float | None:
        """The value of an allowed assignment; None where it could not be measured."""
        if self.measured is None:
            return self.limits.value(assignment)
        if assignment.key in self.known:
            return self.known[assignment.key]
        try:
            return self.measured(assignment)
        except MeasurementError as error:
            self.failed = str(error)
            return None

    def tell(self, trial: optuna.Trial, value: float | None) -> optuna.trial.FrozenTrial:
        from optuna.trial import TrialState

        if value is None:
            trial.set_user_attr("failure", self.failed)
            finished = self.study.tell(trial, state=TrialState.FAIL)
        else:
            finished = self.study.tell(trial, value)
        if self.journal is not None:
            self.journal.add_trial(finished)
        return finished

    def note(self, assignment: Assignment, value: float) -> None:
        self.known[assignment.key] = value
        if self.best is None or value > self.best[0]:
            self.best = (value, assignment)

    def result(self, solution: Assignment) -> StudyResult:
        from optuna.trial import TrialState

        trials = self.study.get_trials(deepcopy=False)
        if self.best is None and self.failed:
            raise MeasurementError(f"No plan could be measured: {self.failed}")
        top = self.limits.value(solution)
        value, best = self.best or (top, solution)
        short = max(0.0, top - self.limits.value(best))
        return StudyResult(
            best=best,
            value=value,
            trials=sum(trial.state != TrialState.WAITING for trial in trials),
            gap=short / abs(top) if short else 0.0,
            exact=solution,
        )
