"""The problem that a plan solves, as a value: what was measured, what is asked for, the choices.

The steps of the search are functions of it, each in a module of its own, that return what they
found. What they measure of the network on the way is kept by the problem's `MeasuredErrors`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, replace
from functools import partial

from ..campaign.rows import measured, rows_of, why_nothing
from ..campaign.setup import Setup
from ..db.store import Store
from ..db.url import companion
from ..errors import UsageError
from ..factors.array_cache import ArrayCache
from ..factors.assembly import Assembly
from ..integrity.denormal_weights import as_sentences, denormal_notes
from ..models.network import Network
from ..models.pictures import Calibration
from ..records import Decomposition, LayerUse, MeasurementPolicy, Verdict, content_key
from ..reporter import Teller
from ..search.combined_rows import layer_rows
from ..search.solver import ONE_DEVICE, Solver
from ..search.space import LayerChoices, layer_choices
from ..search.table import SpeedupTable, TableRow
from ..search.weighted_phases import weighed_rows
from .builtin_constraints import constraints_of
from .candidate_policy import why_none
from .compared_outputs import ComparedChoice, choose_compared
from .constraint import Constraints
from .evidence import Candidates, Evidence, Pictures, gather_evidence
from .inputs import Inputs
from .objective import Objective, PlanningOptions
from .precision import form_of
from .progress import Progress


@dataclass(frozen=True, slots=True)
class PlanProblem:
    """A network on a device, what was measured of its layers, and what a plan has to keep.

    `allowed` has, by the names of the layers that the compression mode selects, the rows of what
    may be chosen. `modes` are the layers that each mode in question selects, the narrowest first.
    `notes` are sentences for the plan's reader.
    """

    setup: Setup
    store: Store
    objective: Objective
    options: PlanningOptions
    calibration: Calibration | None
    progress: Progress
    table: SpeedupTable
    allowed: Mapping[str, Sequence[TableRow]]
    modes: Mapping[str, Set[str]]
    evidence: Evidence
    constraints: Constraints
    notes: tuple[str, ...] = ()
    solver: Solver = ONE_DEVICE

    @property
    def assembly(self) -> Assembly:
        return self.evidence.assembly

    @property
    def reporter(self) -> Teller:
        return self.progress.reporter

    @property
    def least_error_at(self) -> float | None:
        """The target speedup, where nothing limits the loss; else speed is what is sought."""
        return None if self.constraints.judged else self.objective.target_speedup

    @property
    def new_pictures(self) -> int:
        """How many new pictures a limit is to hold on: as many as the report split has."""
        return 0 if self.calibration is None else len(self.calibration.split.report)

    @property
    def policies(self) -> list[MeasurementPolicy]:
        """The policies of the rows that the plan rests on."""
        single = self.options.training_weight is None
        setups = [self.setup] if single else [self.setup, self.setup.in_phase("training")]
        return [setup.policy for setup in setups]

    def aimed_at(self, objective: Objective) -> PlanProblem:
        """The same problem for another objective; what was measured of layers stays known."""
        constraints = constraints_of(objective, self.setup, self.evidence.select)
        return replace(self, objective=objective, constraints=constraints)

    def original_latency_s(self) -> float:
        """The sum over the network's layers of what each takes alone."""
        return sum(
            rows[0].original_latency_s
            for use in self.setup.network.layers
            if (rows := layer_rows(self.table, use))
        )

    def study_name(self, budget: float) -> str:
        """A key of all that a study's trials depend on, besides the layers' numbers."""
        return content_key(
            [
                self.setup.network.sha256,
                self.setup.fingerprint.key,
                *(policy.key for policy in self.policies),
                self.options.training_weight,
                self.objective.to_json(),
                self.options.sampler,
                self.options.seed,
                round(budget, 12),
                {n: sorted(str(r.decomposition) for r in rows) for n, rows in self.allowed.items()},
            ]
        )


def make_problem(
    setup: Setup,
    store: Store,
    objective: Objective,
    options: PlanningOptions,
    calibration: Calibration | None,
    reporter: Teller,
) -> PlanProblem:
    """Read what was measured, and gather what the calibration's pictures say.

    Raises `UsageError` where nothing was measured, or the objective's score cannot be taken.
    """
    return make_problems([setup], store, objective, options, calibration, reporter)[0]


def make_problems(
    setups: Sequence[Setup],
    store: Store,
    objective: Objective,
    options: PlanningOptions,
    calibration: Calibration | None,
    reporter: Teller,
) -> list[PlanProblem]:
    """`make_problem` for several devices and the one network of all their set-ups: what pictures
    say of any device's candidates is gathered once."""
    network, policy = setups[0].network, options.candidate_policy
    tables = [_table(store, setup, options.training_weight) for setup in setups]
    allowed = [policy.allowed(network, table) for table in tables]
    cache = ArrayCache(companion(options.db, ".cache"))
    progress = Progress(reporter, options.max_time_s)
    choice = _compared(network, options, calibration, cache)
    pictures = Pictures(calibration, choice.compared, options.seed)
    candidates = _candidates(allowed)
    form = form_of(setups[0], calibration, choice.compared)
    evidence = gather_evidence(network, candidates, pictures, store, cache, progress, form)
    of_weights = as_sentences(denormal_notes(network.layers, network.weights))
    of_form = () if form is None else form.notes
    notes = (*of_weights, *choice.notes, *of_form, *evidence.notes)
    for note in notes:
        reporter.message(note)
    return [
        PlanProblem(
            setup,
            store,
            objective,
            options,
            calibration,
            progress,
            table,
            rows,
            policy.modes(network, table),
            evidence,
            constraints_of(objective, setup, evidence.select),
            notes,
        )
        for setup, table, rows in zip(setups, tables, allowed, strict=True)
    ]


def _table(store: Store, setup: Setup, training_weight: float | None) -> SpeedupTable:
    rows = _measured_rows(store, setup)
    if training_weight is not None:
        training = _measured_rows(store, setup.in_phase("training"))
        rows = weighed_rows(rows, training, training_weight)
    return SpeedupTable(rows)


def _candidates(allowed: Sequence[Mapping[str, Sequence[TableRow]]]) -> Candidates:
    """What is measurably faster on any of the devices, by layer."""
    found: dict[str, dict[Decomposition, None]] = {}
    for of_device in allowed:
        for name, rows in of_device.items():
            if several := faster(rows):
                found.setdefault(name, {}).update(dict.fromkeys(several))
    return {name: list(of) for name, of in found.items()}


def _compared(
    network: Network, options: PlanningOptions, calibration: Calibration | None, cache: ArrayCache
) -> ComparedChoice:
    """What is compared, chosen on the fit split, or on noise where there are no pictures."""
    if calibration is not None:
        return choose_compared(
            network, options.compare, lambda: calibration.fit, calibration.sha256, cache
        )
    noise = Inputs.noise(network.inputs, options.seed)
    return choose_compared(network, options.compare, noise.make, noise.sha256, cache)


def _measured_rows(store: Store, setup: Setup) -> list[TableRow]:
    measurements = measured(store, setup)
    if not measurements and not all(why_none(setup, use) for use in setup.network.layers):
        raise UsageError(why_nothing(store, setup))
    return rows_of(measurements)


def choices(problem: PlanProblem) -> list[LayerChoices]:
    """Choices of every layer, with what each adds to the squared network error."""
    return [
        layer_choices(
            _explained(problem, use),
            problem.allowed.get(use.name, ()),
            partial(problem.evidence.contributions.with_rounding, use.name),
            excluded=use.name not in problem.allowed,
            kept_error_sq=problem.evidence.contributions.rounding(use.name),
        )
        for use in problem.setup.network.layers
    ]


def _explained(problem: PlanProblem, use: LayerUse) -> LayerUse:
    """The layer with the reason why it has no row, if it cannot have any."""
    if use.spec is None or layer_rows(problem.table, use):
        return use
    return replace(use, reason=why_none(problem.setup, use))


def faster(rows: Sequence[TableRow]) -> list[Decomposition]:
    """The candidates of these rows that are measurably faster, whatever they are computed in."""
    found = (row.decomposition for row in rows if row.verdict is Verdict.FASTER)
    return list(dict.fromkeys(replace(one, precision="") for one in found if one.has_factors))
