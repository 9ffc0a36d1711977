"""What pictures say of a network before any plan is made: factors, and what each choice costs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass, replace

from ..db.store import Store
from ..errors import ModelError
from ..factors.array_cache import ArrayCache
from ..factors.assembly import Assembly, Form
from ..factors.layer_keys import FACTORS_VERSION
from ..factors.moments import (
    LayerMoments,
    gather_metrics,
    gather_moments,
    wanted_moments,
)
from ..factors.sensitivities import contributions
from ..models.compared import Compared
from ..models.network import Network
from ..models.pictures import Calibration
from ..records import Decomposition, content_key
from .contributions import Contributions, Probe, probes
from .inputs import Inputs
from .measured_errors import MeasuredErrors
from .progress import Progress
from .rounding import rounding_of

EXAMPLES, COTANGENTS = 24, 2
"""Most examples of the select split whose contributions are taken, and directions of the compared
outputs that each is asked in."""
VERSION = 1
"""Changes with how contributions are found, so that older ones are not read."""

Candidates = Mapping[str, Sequence[Decomposition]]
"""What each layer may become, by its name."""


@dataclass(frozen=True, slots=True)
class Pictures:
    """The calibration's pictures (None: unit noise by the seed), and what is compared on them."""

    calibration: Calibration | None
    compared: Compared
    seed: int


@dataclass(frozen=True, slots=True)
class Evidence:
    """`select` measures whole plans; `confirm` does on pictures that the search never reads (None
    where there are none). `notes` are sentences for the plan's reader."""

    assembly: Assembly
    contributions: Contributions
    select: MeasuredErrors
    confirm: MeasuredErrors | None
    notes: tuple[str, ...] = ()

    @property
    def passes(self) -> int:
        """Runs of a network over the select and the confirm split."""
        return self.select.passes + (0 if self.confirm is None else self.confirm.passes)

    def on(self, assembly: Assembly) -> Evidence:
        """The same with plans put together by another assembly of the network."""
        confirm = None if self.confirm is None else self.confirm.on(assembly)
        return replace(self, assembly=assembly, select=self.select.on(assembly), confirm=confirm)


def gather_evidence(
    network: Network,
    candidates: Candidates,
    pictures: Pictures,
    store: Store,
    cache: ArrayCache,
    progress: Progress,
    form: Form | None = None,
) -> Evidence:
    """Gather moments and metrics on the fit and the select split, and what candidates contribute
    to the network error on the select split; in the `form` that networks are run in, if any, also
    what rounding each layer, or what may stand in its place, does."""
    calibration, compared = pictures.calibration, pictures.compared
    assembly, notes = Assembly(network, cache=cache), tuple[str, ...]()
    inputs, confirm = Inputs.noise(network.inputs, pictures.seed), None
    if calibration is not None:
        progress.say("gathering moments on the fit and the select split")
        moments, notes = _from_pictures(network, candidates, calibration, compared, cache)
        assembly, inputs = Assembly(network, moments), Inputs.of(calibration, "select")
    assembly = assembly if form is None else assembly.in_form(form)
    if calibration is not None and calibration.split.confirm:
        held_back = Inputs.of(calibration, "confirm")
        confirm = MeasuredErrors(assembly, compared, held_back, progress)
    select = MeasuredErrors(assembly, compared, inputs, progress)
    taken = _contributions(select, candidates, store, progress)
    rounding = {} if form is None else rounding_of(select, taken, form.mixed)
    of_pictures = () if calibration is None else calibration.notes
    return Evidence(
        assembly, Contributions(assembly, taken, rounding), select, confirm, (*of_pictures, *notes)
    )


def _from_pictures(
    network: Network,
    candidates: Candidates,
    calibration: Calibration,
    compared: Compared,
    cache: ArrayCache,
) -> tuple[LayerMoments, tuple[str, ...]]:
    """The moments and metrics that factors are made from; a sentence where there are no metrics."""
    specs = {use.name: use.spec for use in network.layers if use.spec}
    kinds = {name: {one.kind for one in of} for name, of in candidates.items()}
    moments = gather_moments(network, calibration, wanted_moments(specs, kinds), cache)
    try:
        return gather_metrics(network, calibration, compared, list(kinds), moments), ()
    except ModelError as error:
        return moments, (f"factors are weighted by their inputs alone: {error}",)


def _contributions(
    select: MeasuredErrors, candidates: Candidates, store: Store, progress: Progress
) -> dict[Probe, float]:
    """The contributions of the candidates that are probed; those that are not in the store yet
    are found, and put there."""
    assembly, inputs = select.assembly, select.inputs
    parts = list(map(astuple, select.compared.parts))
    asked = [VERSION, FACTORS_VERSION, parts, EXAMPLES, COTANGENTS]
    metric = f"contribution {content_key(asked)}"
    where = assembly.network.sha256, inputs.sha256
    known = {
        probe: value**2
        for probe, (value, _) in store.sensitivities.get(*where, metric=metric).items()
    }
    missing = [probe for probe in probes(assembly, candidates) if probe not in known]
    if missing:
        progress.say(f"what {len(missing)} choices of layers cost the network")
        found = _from_gradients(select, missing)
        if found is None:
            middle = probes(assembly, candidates, count=1)
            found = _one_by_one(select, [probe for probe in middle if probe not in known])
        rows = {probe: (value**0.5, value**0.5) for probe, value in found.items()}
        store.sensitivities.put(*where, rows, metric=metric)
        known |= found
    return known


def _from_gradients(select: MeasuredErrors, missing: Sequence[Probe]) -> dict[Probe, float] | None:
    """From one pass, forward and backward; None where torch cannot take gradients."""
    assembly = select.assembly
    wanted: dict[str, list[Decomposition]] = {}
    for name, one in missing:
        wanted.setdefault(name, []).append(one)
    examples, cotangents = select.asked(EXAMPLES, COTANGENTS)
    try:
        module = assembly.network.differentiable()
        return contributions(assembly, module, examples, wanted, cotangents)
    except ModelError:
        return None


def _one_by_one(select: MeasuredErrors, probed: Sequence[Probe]) -> dict[Probe, float]:
    """From networks with one layer replaced."""
    return {(name, one): select.of({name: one}).value ** 2 for name, one in probed}
