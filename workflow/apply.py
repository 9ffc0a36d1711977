"""`rankwise apply`: from a plan and a network to the compressed network."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import documents
from ..campaign.setup import load
from ..db.url import companion
from ..documents.plan_files import read_plan
from ..errors import CalibrationError, PlanError, UsageError
from ..factors.array_cache import ArrayCache
from ..factors.assembly import Assembly, check_decisions
from ..factors.moments import cached_moments, gather_moments, wanted_moments
from ..factors.output_statistics import fitting_for
from ..factors.planned_network import check_network
from ..models.output_files import NETWORKS, check_output
from ..reporter import Reporter, Silent
from .store import DEFAULT_DB

if TYPE_CHECKING:
    from ..models.network import Network
    from ..models.pictures import Calibration


def apply(
    plan: documents.Plan | Path | str,
    model: Any,
    example_input: Any = None,
    *,
    output: Path | None = None,
    db: str = DEFAULT_DB,
    weights: Path | None = None,
    calibration: Path | None = None,
    preprocess: str | None = None,
    reestimate_bn: bool = False,
    match_channels: bool = False,
    reporter: Reporter | None = None,
) -> Network:
    """The compressed network; also written to `output` (.onnx, .pt2, .safetensors) if given.

    Where factors were made from data, the same calibration is needed again, or its moments
    from the cache beside the store. `reestimate_bn` estimates the statistics of batch
    normalisation again on the fit split, `match_channels` gives every layer's channels the
    original's mean and deviation; one of them at most, and the calibration is needed in any case.
    Raises `PlanError` for a plan of another network or one that cannot be carried out,
    `CalibrationError` for other pictures.
    """
    if output is not None:
        check_output(output, model, weights, plan, suffixes=NETWORKS)
    fitting = fitting_for(reestimate_bn, match_channels)
    if fitting and calibration is None:
        raise UsageError(f"{fitting.option} needs pictures: give --calibration")
    document = read_plan(plan)
    network = load(
        model,
        example_input=example_input,
        weights=weights,
        input_shape=document.model.input_shape,
    )
    if fitting and calibration is not None:
        pictures: Calibration | None = any_pictures(document, network, calibration, preprocess)
    else:
        pictures = plan_pictures(document, calibration, preprocess)
    own = pictures if document.calibration else None
    compressed = assembly_for(document, network, own, db).network_with(document.decisions)
    if fitting and calibration is not None and pictures is not None:
        compressed = fitting(compressed, calibration, pictures, reporter or Silent())
    if output is not None:
        compressed.save(output)
    return compressed


def any_pictures(
    document: documents.Plan, network: Network, data: Path, preprocess: str | None
) -> Calibration:
    """The plan's own pictures where it was made from some: a report split of others could hold
    pictures that the plan has seen."""
    from ..models.pictures import load_calibration

    found = plan_pictures(document, data, preprocess) if document.calibration else None
    return found or load_calibration(
        data, preprocess, network.input_shape, seed=document.search.seed
    )


def plan_pictures(
    document: documents.Plan, calibration: Path | None, preprocess: str | None
) -> Calibration | None:
    """The plan's calibration pictures; `CalibrationError` if these are others."""
    from ..models.pictures import load_calibration

    if calibration is None:
        return None
    note = document.calibration
    if note is None:
        raise CalibrationError("this plan was made without calibration pictures: give none")
    shape = document.model.input_shape
    pictures = load_calibration(
        calibration, preprocess or note.preprocess, shape, seed=document.search.seed
    )
    if pictures.sha256 != note.sha256:
        raise CalibrationError(
            f"these are not the pictures the plan was made from: their hash is "
            f"{pictures.sha256[:12]}, the plan's {note.sha256[:12]}"
        )
    return pictures


def assembly_for(
    document: documents.Plan, network: Network, pictures: Calibration | None, db: str
) -> Assembly:
    """The plan's network with the factors' source as the plan says; checks that they fit."""
    check_network(document, network)
    decisions = document.decisions
    check_decisions(Assembly(network), decisions)
    cache = ArrayCache(companion(db, ".cache"))
    chosen = {
        one.name: one.shrinkage
        for one in document.layers
        if one.factors == "data" and one.name in decisions
    }
    if not chosen:
        return Assembly(network, cache=cache)
    if document.calibration is None:
        raise PlanError("the plan has factors from data, but does not name its calibration")
    specs = {use.name: use.spec for use in network.layers if use.spec}
    wanted = wanted_moments(specs, {name: [decisions[name].kind] for name in chosen})
    if pictures is None:
        moments = cached_moments(network, document.calibration.sha256, wanted, cache)
    else:
        moments = gather_moments(network, pictures, wanted, cache, splits=("fit",))
    return Assembly(network, moments, chosen)
