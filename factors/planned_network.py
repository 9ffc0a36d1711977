"""A network and the plan that was made for it: what every verb that takes a plan starts from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Self

from .. import documents
from ..documents.plan_files import read_plan
from ..errors import CalibrationError, ModelError, PlanError
from ..lowrank import moments_wanted
from ..lowrank.shrinkage import Shrinkage
from ..models.compared import Compared
from ..models.network import Network, Replacements, known_as
from ..models.notes import asked_of, compared_of
from ..models.pictures import Calibration, load_calibration
from ..models.preprocess import usual_preprocess
from ..models.source import network_of
from .array_cache import ArrayCache
from .assembly import Assembly, check_decisions
from .channel_matching import Arrays, ChannelMatching
from .moments import (
    LayerMoments,
    cached_moments,
    gather_metrics,
    gather_moments,
    wanted_moments,
    with_cached_metrics,
)


@dataclass(frozen=True, slots=True)
class PlannedNetwork:
    """A plan, its network, and the cache that keeps what their factors are made from.

    Raises `PlanError` unless the plan was made for exactly this network and says of each of its
    layers something that is possible.
    """

    plan: documents.Plan
    network: Network
    cache: ArrayCache

    def __post_init__(self) -> None:
        object.__setattr__(self, "network", _of_plan(self.plan, self.network))
        _check_layers(self.plan, self.network)
        check_decisions(Assembly(self.network), self.plan.decisions)

    @classmethod
    def load(
        cls,
        plan: documents.Plan | Path | str,
        model: Any = None,
        *,
        cache: Path,
        example_input: Any = None,
        weights: Path | None = None,
    ) -> Self:
        """Read the plan and load its network, from the plan's own source unless `model` is given.

        `cache` is the folder of arrays beside the store.
        """
        document = read_plan(plan)
        network = network_of(
            document.model.source if model is None else model,
            example_input=example_input,
            weights=weights,
            **asked_of(document.model),
        )
        return cls(document, network, ArrayCache(cache))

    @property
    def compared(self) -> Compared:
        """What of the outputs the plan compares; plans of before compare the first output.

        Raises `ModelError` where the network has nothing to compare.
        """
        names = self.network.output_names
        names.check()
        return compared_of(self.plan) or Compared.whole(names.compared[:1])

    def pictures(self, calibration: Path | None, preprocess: str | None) -> Calibration | None:
        """Load the pictures that the plan was made from; raise `CalibrationError` for others."""
        if calibration is None:
            return None
        note = self.plan.calibration
        if note is None:
            raise CalibrationError("this plan was made without calibration pictures: give none")
        pictures = self._split(calibration, preprocess or note.preprocess)
        if pictures.sha256 != note.sha256:
            raise CalibrationError(
                f"these are not the pictures the plan was made from: their hash is "
                f"{pictures.sha256[:12]}, the plan's {note.sha256[:12]}"
            )
        return pictures

    def any_pictures(self, data: Path, preprocess: str | None) -> Calibration:
        """Load pictures: the plan's own where it was made from some, for the report split of
        others could hold pictures that the plan has seen."""
        own = self.pictures(data, preprocess) if self.plan.calibration else None
        return own or self._split(data, preprocess)

    def _split(self, data: Path, preprocess: str | None) -> Calibration:
        """The pictures, split as the plan's were: older ones have no confirm split."""
        note = self.plan.calibration
        confirm = note is None or "confirm" in note.split
        seed, recipe = self.plan.search.seed, preprocess or usual_preprocess(self.network.source)
        return load_calibration(data, recipe, self.network.inputs, seed=seed, confirm=confirm)

    def assembly(self, pictures: Calibration | None = None) -> Assembly:
        """The network's factors as the plan says, from its pictures or from what the cache keeps.

        Raises `CalibrationError` where neither is there.
        """
        decisions, note = self.plan.decisions, self.plan.calibration
        chosen = {
            layer.name: Shrinkage(layer.shrinkage, layer.output_shrinkage)
            for layer in self.plan.layers
            if layer.factors == "data" and layer.name in decisions
        }
        if not chosen and not self.plan.match_channels:
            return Assembly(self.network, cache=self.cache)
        if note is None:
            raise PlanError("the plan has factors from data, but does not name its calibration")
        moments = self._moments(note.sha256, chosen, pictures)
        chosen = {n: one if one.sides else self._default(moments, n) for n, one in chosen.items()}
        matching = self._matching(note.sha256, pictures)
        return Assembly(self.network, moments, chosen, matching=matching)

    def _moments(
        self,
        calibration_sha256: str,
        chosen: Mapping[str, Shrinkage],
        pictures: Calibration | None,
    ) -> LayerMoments:
        """The moments and metrics of the fit split that the chosen factors are made from."""
        decisions = self.plan.decisions
        specs = {use.name: use.spec for use in self.network.layers if use.spec}
        by_inputs = {
            name: [decisions[name].kind]
            for name, one in chosen.items()
            if one.inputs is not None or not one.sides
        }
        wanted = wanted_moments(specs, by_inputs)
        by_outputs = [name for name, one in chosen.items() if one.outputs is not None]
        if pictures is None:
            found = cached_moments(self.network, calibration_sha256, wanted, self.cache)
            return with_cached_metrics(found, self.compared, by_outputs)
        found = gather_moments(self.network, pictures, wanted, self.cache, splits=("fit",))
        if not by_outputs:
            return found
        compared = self.compared
        return gather_metrics(self.network, pictures, compared, by_outputs, found, splits=("fit",))

    def _default(self, moments: LayerMoments, name: str) -> Shrinkage:
        """How the factors of the first plans were shrunk, which do not say it."""
        (spec,) = (use.spec for use in self.network.layers if use.name == name and use.spec)
        source = moments_wanted(spec, self.plan.decisions[name].kind)
        return Shrinkage.default(moments.read("fit", name, source) if source else None, False)

    def _matching(
        self, calibration_sha256: str, pictures: Calibration | None
    ) -> ChannelMatching | None:
        if not self.plan.match_channels:
            return None
        corrections = None if pictures is None else partial(self._corrections, pictures)
        return ChannelMatching(self.cache, calibration_sha256, corrections)

    def _corrections(self, pictures: Calibration, replacements: Replacements) -> Arrays:
        from .channel_matcher import matcher_of  # torch's

        return matcher_of(self.network, pictures).corrections(replacements)

    def compressed(self, pictures: Calibration | None = None) -> Network:
        """A copy of the network with the plan's chains in place of its layers."""
        return self.assembly(pictures).network_with(self.plan.decisions)

    def replacements(self, pictures: Calibration | None = None) -> Replacements:
        """The plan's chains with their factors, by layer name."""
        return self.assembly(pictures).replacements(self.plan.decisions)


def _of_plan(plan: documents.Plan, network: Network) -> Network:
    """The network under the hash by which the plan knows it, and so the cache what the plan was
    made from. Raises `PlanError` for another network."""
    try:
        return known_as(network, plan.model.sha256)
    except ModelError:
        pass
    changed = plan.model.source == network.source and network.framework == "torch"
    hint = (
        ": its weights, settings or code have changed since, or it draws other weights each time "
        "it is made (let it load them, or draw them from a fixed seed)"
    )
    raise PlanError(
        f"the plan was made for another network: {plan.model.source} "
        f"({plan.model.sha256[:12]}), not {network.source} ({network.sha256[:12]})"
        f"{hint if changed else ''}"
    )


def _check_layers(plan: documents.Plan, network: Network) -> None:
    decided, names = {layer.name for layer in plan.layers}, {use.name for use in network.layers}
    if unknown := [name for name in plan.decisions if name not in names]:
        raise PlanError(f"the network has no layer {unknown[0]!r}")
    # An earlier version listed an attention as one layer that is kept, not its projections.
    missing = [use.name for use in network.layers if use.name not in decided]
    if missing and decided <= names:
        raise PlanError(
            f"the plan does not say what becomes of layer {missing[0]!r}: make the plan anew if "
            "an earlier version of rankwise made it"
        )
