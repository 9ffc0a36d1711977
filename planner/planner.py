"""From measured rows and measured errors to one decision for every layer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

from .. import documents
from ..campaign.rows import measured, rows_of, why_nothing
from ..campaign.setup import Setup
from ..db.store import Store
from ..db.url import companion
from ..errors import GoalNotReached, UsageError
from ..factors.array_cache import ArrayCache
from ..factors.assembly import Assembly
from ..factors.moments import gather_moments, wanted_moments
from ..records import (
    Decomposition,
    LayerUse,
    MeasurementPolicy,
    Verdict,
    content_key,
    element_bytes,
)
from ..reporter import Reporter
from ..search.exact import SolverLimits, solve_within
from ..search.network_model import SCALE
from ..search.space import layer_choices
from ..search.study import run_study
from ..search.table import SpeedupTable
from ..search.weighted_phases import weighed_rows
from .additive import alternatives, solved
from .candidate_policy import CandidatePolicy, why_none
from .known_errors import KnownErrors
from .plan_document import plan_document
from .quality import Quality, find_score
from .refinement import Refined, refine
from .repair import REPAIR_STEPS, best_within, better_known
from .sensitivity import Inputs, Sensitivity

if TYPE_CHECKING:
    from ..models.pictures import Calibration
    from ..search.space import Assignment, LayerChoices
    from ..search.study import StudyResult, TrialEvent
    from ..search.table import TableRow


@dataclass(frozen=True, slots=True)
class Objective:
    """What the user asked for. `max_error` limits the network error on the select split,
    `floor` the score that `evaluate` (package.module:callable) gives the network."""

    max_error: float | None = None
    target_speedup: float | None = None
    max_params: int | None = None
    max_weight_bytes: int | None = None
    evaluate: str | None = None
    floor: float | None = None

    def check(self) -> None:
        for name in ("max_error", "target_speedup", "max_params", "max_weight_bytes"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                option = name.replace("_", "-")
                raise UsageError(f"--{option} must be more than 0, not {value}")
        if self.max_error is None and self.target_speedup is None and self.evaluate is None:
            raise UsageError(
                "say what the plan must keep: --max-error E, --target-speedup S, or "
                "--evaluate package.module:callable with its --floor F"
            )

    def limits(self, dtype: str) -> SolverLimits:
        """The limits that add up over layers. Weights in bytes are a number of parameters."""
        params = [self.max_params]
        if self.max_weight_bytes is not None:
            params.append(self.max_weight_bytes // element_bytes(dtype))
        return SolverLimits(max_params=min((p for p in params if p is not None), default=None))


@dataclass(frozen=True, slots=True)
class PlanningOptions:
    db: str
    trials: int
    sampler: str
    refine: bool
    seed: int
    candidate_policy: CandidatePolicy
    training_weight: float | None = None
    measured_trials: int = 0
    estimate: bool = False
    """Whether errors may follow from plans that were measured earlier."""


class Planner:
    """One run of `plan`."""

    def __init__(
        self,
        setup: Setup,
        store: Store,
        objective: Objective,
        options: PlanningOptions,
        calibration: Calibration | None,
        reporter: Reporter,
    ) -> None:
        self.setup, self.store = setup, store
        self.options, self.calibration, self.reporter = options, calibration, reporter
        self.cache = ArrayCache(companion(options.db, ".cache"))
        self.table = self._table()
        self.allowed = options.candidate_policy.allowed(setup.network, self.table)
        self.modes = options.candidate_policy.modes(setup.network, self.table)
        self.assembly = self._assembly()
        self.sensitivity = self._sensitivity()
        self.refined: Refined | None = None
        """How the last plan was chosen, with the rivals that were timed beside it."""
        self.aim_at(objective)

    def aim_at(self, objective: Objective) -> None:
        """What plans are held to from now on; what was measured of layers stays."""
        self.objective, self.limits = objective, objective.limits(self.setup.policy.dtype)
        score = find_score(objective.evaluate, objective.floor, self.setup.network)
        self.quality = Quality(
            self.sensitivity, objective.max_error, score, estimating=self.options.estimate
        )

    @property
    def least_error_at(self) -> float | None:
        """The target speedup, where nothing limits the loss; else speed is what is sought."""
        return None if self.quality.limited else self.objective.target_speedup

    def run(self) -> tuple[documents.Plan, str]:
        """The plan, and what it is short of (empty if it keeps every limit)."""
        asked = solved(self)
        others = alternatives(self) if self.options.refine and self.quality.limited else []
        asked = asked.on(self.choices())
        layers, budget = asked.layers, asked.budget
        study = self._study(layers, budget)
        finalists = self._finalists(asked.assignment, study.best, *others)
        self.refined = refined = refine(self, layers, finalists, budget)
        chosen = refined.winner
        document = plan_document(self, layers, chosen, refined.predicted, study)
        if refined.seed_speedup is not None:
            if self.least_error_at is None:
                document.search.measured_trials = self.options.measured_trials
            document.search.seed_speedup = refined.seed_speedup
            document.search.trial_speedup = refined.trial_speedup
        for layer in document.layers:
            layer.in_network_saving_s = refined.in_network.get(layer.name)
        self.cache.trim()
        return document, self._shortfall(document)

    def _finalists(self, *found: Assignment) -> list[Assignment]:
        """Different assignments whose measured loss keeps the limits."""
        different = {assignment.key: assignment for assignment in found}
        return [assignment for assignment in different.values() if self.allows(assignment)]

    def allows(self, assignment: Assignment) -> bool:
        """Whether its measured loss keeps the limits."""
        return self.quality.usage(assignment.decisions) <= 1

    def _shortfall(self, document: documents.Plan) -> str:
        target, reached = self.objective.target_speedup, document.predicted.speedup
        if target is None or (reached is not None and reached >= target):
            return ""
        best = "cannot be predicted" if reached is None else f"is predicted to reach {reached:.3f}"
        return (
            f"the target speedup {target:g} was not reached: the best plan, which is kept, {best}"
        )

    def _table(self) -> SpeedupTable:
        rows = self._measured_rows(self.setup)
        weight = self.options.training_weight
        if weight is not None:
            rows = weighed_rows(rows, self._measured_rows(self.setup.in_phase("training")), weight)
        return SpeedupTable(rows)

    def _measured_rows(self, setup: Setup) -> list[TableRow]:
        found = measured(self.store, setup)
        if not found and not all(why_none(setup, use) for use in setup.network.layers):
            raise UsageError(why_nothing(self.store, setup))
        return rows_of(found)

    @property
    def policies(self) -> list[MeasurementPolicy]:
        """Of the rows that the plan rests on."""
        settings = [self.setup]
        if self.options.training_weight is not None:
            settings.append(self.setup.in_phase("training"))
        return [setup.policy for setup in settings]

    def _uses(self) -> list[tuple[LayerUse, list[Decomposition]]]:
        """Each layer with its candidates that are measurably faster."""
        return [
            (use, [row.decomposition for row in self._rows(use) if row.verdict is Verdict.FASTER])
            for use in self.setup.network.layers
        ]

    def _rows(self, use: LayerUse) -> list[TableRow]:
        """The rows of what may be chosen for the layer."""
        allowed = self.allowed.get(use.name)
        if use.spec is None or allowed is None:
            return []
        return [row for row in self.table.rows(use.spec.key) if row.decomposition in allowed]

    def _assembly(self) -> Assembly:
        network = self.setup.network
        if self.calibration is None:
            return Assembly(network, cache=self.cache)
        self.reporter.message("gathering moments on the fit and the select split")
        kinds = {use.name: {d.kind for d in faster} for use, faster in self._uses() if faster}
        specs = {use.name: use.spec for use in network.layers if use.spec}
        wanted = wanted_moments(specs, kinds)
        return Assembly(network, gather_moments(network, self.calibration, wanted, self.cache))

    def _sensitivity(self) -> Sensitivity:
        network = self.setup.network
        if self.calibration is None:
            inputs = Inputs.noise(network.input_shape, self.options.seed)
        else:
            inputs = Inputs.of(self.calibration)
        known = KnownErrors(self.cache, network.sha256, inputs.sha256, store=self.store)
        return Sensitivity(self.assembly, inputs, known)

    def choices(self) -> list[LayerChoices]:
        """Choices of every layer, errors modelled from what was measured in the network: at
        least one middle rank of each kind."""
        uses = self._uses()
        self._probe(uses)
        return [
            layer_choices(
                self._explained(use),
                self._rows(use),
                partial(self.sensitivity.modelled_sq, use.name),
                excluded=use.name not in self.allowed,
            )
            for use, _ in uses
        ]

    def _explained(self, use: LayerUse) -> LayerUse:
        """With the reason if the layer has no row because it cannot have any."""
        if use.spec is None or self.table.rows(use.spec.key):
            return use
        return replace(use, reason=why_none(self.setup, use))

    def _probe(self, uses: Sequence[tuple[LayerUse, list[Decomposition]]]) -> None:
        probes = [
            (use.name, [d for d in faster if d.kind == kind])
            for use, faster in uses
            for kind in sorted({d.kind for d in faster})
        ]
        for number, (name, candidates) in enumerate(probes):
            self.reporter.progress(number, len(probes), f"sensitivity of {name}")
            self.sensitivity.probe(name, candidates)

    def solve_exactly(self, layers: Sequence[LayerChoices]) -> tuple[Assignment, float]:
        """The best additive plan whose *measured* loss keeps the limits, and the budget of
        modelled squared error that led to it."""
        if not self.quality.limited:
            return self._least_error(layers)
        found = best_within(layers, self.limits, self.quality, self._tell_repair)
        if not self.quality.estimating:
            return found
        return better_known(layers, self.limits, self.quality, found)

    def _tell_repair(self, step: int, usage: float) -> None:
        self.reporter.progress(step, REPAIR_STEPS, f"repair: {usage:.0%} of what may be lost")

    def _least_error(self, layers: Sequence[LayerChoices]) -> tuple[Assignment, float]:
        """The plan of least modelled error that is predicted to reach the speedup asked for.

        The prediction is that a network saves `SCALE` of what its layers save alone.
        """
        assert self.least_error_at is not None
        saving = self.original_latency_s() * (1 - 1 / self.least_error_at) / SCALE
        try:
            found = solve_within(layers, replace(self.limits, min_saving_s=saving))
        except GoalNotReached:
            found = solve_within(layers, self.limits)
        return found, found.error_sq

    def original_latency_s(self) -> float:
        """Sum over the network's layers of what each takes alone."""
        return sum(
            rows[0].original_latency_s
            for use in self.setup.network.layers
            if use.spec and (rows := self.table.rows(use.spec.key))
        )

    def study_name(self, budget: float) -> str:
        """Of all that a study's trials depend on, besides the layers' numbers."""
        return content_key(
            [
                self.setup.network.sha256,
                self.setup.fingerprint.key,
                *(policy.key for policy in self.policies),
                self.options.training_weight,
                asdict(self.objective),
                self.options.sampler,
                self.options.seed,
                round(budget, 12),
                {name: sorted(map(str, chosen)) for name, chosen in self.allowed.items()},
            ]
        )

    def _study(self, layers: Sequence[LayerChoices], budget: float) -> StudyResult:
        return run_study(
            layers,
            max_error_sq=budget,
            max_params=self.limits.max_params,
            trials=self.options.trials,
            sampler=self.options.sampler,
            seed=self.options.seed,
            # Without trials there is nothing to go on with: the journal need not be read.
            storage=companion(self.options.db, ".optuna.journal") if self.options.trials else None,
            study_name=self.study_name(budget),
            on_trial=self._tell_trial,
            modes=self.modes if self.options.candidate_policy.searched else None,
        )

    def mode_of(self, assignment: Assignment) -> str:
        """The narrowest mode that may change all layers which the assignment does."""
        changed = assignment.decisions.keys()
        return next(name for name, selected in self.modes.items() if changed <= selected)

    def _tell_trial(self, event: TrialEvent) -> None:
        self.reporter.progress(event.number + 1, self.options.trials, "Optuna study")
