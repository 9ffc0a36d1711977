"""`rankwise apply`: from a plan and a network to the compressed network."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from ..db.url import companion
from ..errors import UsageError
from ..factors.planned_network import PlannedNetwork
from ..models.network import Network
from ..models.output_files import NETWORKS, check_output
from ..models.saving import save_network
from ..options.keywords import arguments_for, takes
from ..options.networks import ApplyOptions
from ..planner.precision import HALVES
from ..quantization.choice import quantised_network
from ..reporter import Listeners
from .half_networks import how_to_run
from .typed_networks import as_planned

if TYPE_CHECKING:
    from torch import nn

    from ..factors.output_statistics import Fitting


@takes(ApplyOptions)
def apply(options: ApplyOptions) -> Network | nn.Module:
    """Return the compressed network; also written to `output` (.onnx, .pt2, .safetensors) if given.

    Of a torch module it is a module of the same class, to be called as before, on the same
    device and in the same mode; of a network that was named, a `Network`, which has `outputs` and
    `save`, and `module` where it is torch's.
    Where factors were made from data, the same calibration is needed again, or its moments
    from the cache beside the store. `reestimate_bn` estimates the statistics of batch
    normalisation again on the fit split, `match_channels` gives every layer's channels the
    original's mean and deviation; one of them at most, and the calibration is needed in any case.
    `dtype="int8"` gives an ONNX network that is quantised with ranges from the fit split, and needs
    the calibration, too; so does a plan in int8, whatever `dtype` says. In float16 and bfloat16
    weights stay in float32, and a message says how the backend runs them in that type.
    Raises `PlanError` for a plan of another network or one that cannot be carried out,
    `CalibrationError` for other pictures.

    >>> smaller = rw.apply(plan, network, example, output="smaller.safetensors")
    >>> type(smaller) is type(network), smaller(example).shape == network(example).shape
    (True, True)
    """
    _check_int8(options)
    if options.output is not None:
        check_output(
            options.output, options.model, options.weights, options.plan, suffixes=NETWORKS
        )
    fitting = _fitting(options)
    if fitting and options.calibration is None:
        raise UsageError(f"{fitting.option} needs pictures: give --calibration")
    planned = PlannedNetwork.load(
        **arguments_for(PlannedNetwork.load, options, cache=companion(options.db, ".cache"))
    )
    options = as_planned(options, planned.plan)
    _check_int8(options)
    said = Listeners.of(options.reporter)
    said.progress(0, 2, "making the factors of the replaced layers")
    if fitting is None or options.calibration is None:
        compressed = planned.compressed(planned.pictures(options.calibration, options.preprocess))
    else:
        pictures = planned.any_pictures(options.calibration, options.preprocess)
        network = planned.compressed(pictures)
        compressed = fitting(network, pictures, planned.compared, said)
    if options.dtype == "int8":
        compressed = _in_int8(options, planned, compressed, said)
    if options.output is not None:
        said.progress(1, 2, f"writing {options.output.name}")
        save_network(compressed, options.output, options.dynamic_batch, said)
        if options.dtype in HALVES:
            said.message(how_to_run(planned.plan, options.dtype))
    return _as_given(compressed, options.model)


def _check_int8(options: ApplyOptions) -> None:
    """Raise `UsageError` where the network cannot be written in int8 as asked."""
    if options.dtype != "int8":
        return
    if options.calibration is None:
        raise UsageError("--dtype int8 needs pictures to take ranges from: give --calibration")
    if options.output is not None and options.output.suffix != ".onnx":
        raise UsageError(f"int8 networks are .onnx files, not {options.output.suffix}")


def _in_int8(
    options: ApplyOptions, planned: PlannedNetwork, compressed: Network, said: Listeners
) -> Network:
    assert options.calibration is not None, "see `_check_int8`"
    pictures = planned.any_pictures(options.calibration, options.preprocess)
    said.progress(1, 3, "quantising the network")
    found = quantised_network(
        planned.network,
        compressed,
        pictures,
        planned.compared,
        options.in_float,
        reporter=said,
        dynamic_batch=options.dynamic_batch,
    )
    said.message(
        f"in int8, {found.recipe.name}: network error on the select split {found.error:.4f}"
    )
    return found.network


def _fitting(options: ApplyOptions) -> Fitting | None:
    if not (options.reestimate_bn or options.match_channels):
        return None
    from ..factors.output_statistics import fitting_for  # torch's

    return fitting_for(options.reestimate_bn, options.match_channels)


def _as_given(compressed: Network, model: Any) -> Network | nn.Module:
    if compressed.framework == "onnx":
        return compressed
    from torch import nn

    from ..models.own_module import like_given
    from ..models.torch_network import TorchNetwork

    if isinstance(model, nn.Module) and isinstance(compressed, TorchNetwork):
        return like_given(compressed, model)
    return compressed
