"""`rankwise apply`: from a plan and a network to the compressed network."""

from __future__ import annotations

from ..db.url import companion
from ..errors import UsageError
from ..factors.output_statistics import fitting_for
from ..factors.planned_network import PlannedNetwork
from ..models.network import Network
from ..models.output_files import NETWORKS, check_output
from ..options.keywords import arguments_for, takes
from ..options.networks import ApplyOptions
from ..reporter import Silent


@takes(ApplyOptions)
def apply(options: ApplyOptions) -> Network:
    """Return the compressed network; also written to `output` (.onnx, .pt2, .safetensors) if given.

    Where factors were made from data, the same calibration is needed again, or its moments
    from the cache beside the store. `reestimate_bn` estimates the statistics of batch
    normalisation again on the fit split, `match_channels` gives every layer's channels the
    original's mean and deviation; one of them at most, and the calibration is needed in any case.
    Raises `PlanError` for a plan of another network or one that cannot be carried out,
    `CalibrationError` for other pictures.
    """
    if options.output is not None:
        check_output(
            options.output, options.model, options.weights, options.plan, suffixes=NETWORKS
        )
    fitting = fitting_for(options.reestimate_bn, options.match_channels)
    if fitting and options.calibration is None:
        raise UsageError(f"{fitting.option} needs pictures: give --calibration")
    planned = PlannedNetwork.load(
        **arguments_for(PlannedNetwork.load, options, cache=companion(options.db, ".cache"))
    )
    if fitting is None or options.calibration is None:
        compressed = planned.compressed(planned.pictures(options.calibration, options.preprocess))
    else:
        pictures = planned.any_pictures(options.calibration, options.preprocess)
        network, reporter = planned.compressed(pictures), options.reporter or Silent()
        compressed = fitting(network, pictures, planned.compared, reporter)
    if options.output is not None:
        compressed.save(options.output)
    return compressed
