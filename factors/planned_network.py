"""A network and the plan that was made for it: what every verb that takes a plan starts from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from .. import documents
from ..documents.plan_files import read_plan
from ..errors import CalibrationError, PlanError
from ..models.network import Network, Replacements
from ..models.pictures import Calibration, load_calibration
from ..models.source import network_of
from .array_cache import ArrayCache
from .assembly import Assembly, check_decisions
from .moments import cached_moments, gather_moments, wanted_moments


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
            input_shape=document.model.input_shape,
        )
        return cls(document, network, ArrayCache(cache))

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
        return load_calibration(
            data, preprocess, self.plan.model.input_shape, seed=self.plan.search.seed
        )

    def assembly(self, pictures: Calibration | None = None) -> Assembly:
        """The network's factors as the plan says, from its pictures or from moments in the cache.

        Raises `CalibrationError` where neither is there.
        """
        decisions, note = self.plan.decisions, self.plan.calibration
        chosen = {
            layer.name: layer.shrinkage
            for layer in self.plan.layers
            if layer.factors == "data" and layer.name in decisions
        }
        if not chosen:
            return Assembly(self.network, cache=self.cache)
        if note is None:
            raise PlanError("the plan has factors from data, but does not name its calibration")
        specs = {use.name: use.spec for use in self.network.layers if use.spec}
        wanted = wanted_moments(specs, {name: [decisions[name].kind] for name in chosen})
        if pictures is None:
            moments = cached_moments(self.network, note.sha256, wanted, self.cache)
        else:
            moments = gather_moments(self.network, pictures, wanted, self.cache, splits=("fit",))
        return Assembly(self.network, moments, chosen)

    def compressed(self, pictures: Calibration | None = None) -> Network:
        """A copy of the network with the plan's chains in place of its layers."""
        return self.assembly(pictures).network_with(self.plan.decisions)

    def replacements(self, pictures: Calibration | None = None) -> Replacements:
        """The plan's chains with their factors, by layer name."""
        assembly = self.assembly(pictures)
        return {name: assembly.replacement(name, d) for name, d in self.plan.decisions.items()}


def _check_layers(plan: documents.Plan, network: Network) -> None:
    if plan.model.sha256 != network.sha256:
        raise PlanError(
            f"the plan was made for another network: {plan.model.source} "
            f"({plan.model.sha256[:12]}), not {network.source} ({network.sha256[:12]})"
        )
    decided = [layer.name for layer in plan.layers]
    names = [layer.name for layer in network.layers]
    if unknown := [name for name in decided if name not in names]:
        raise PlanError(f"the network has no layer {unknown[0]!r}")
    if missing := [name for name in names if name not in decided]:
        raise PlanError(f"the plan does not say what becomes of layer {missing[0]!r}")
