"""What `verify --dtype int8` adds: the original and the compressed network, both in int8."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from .. import documents
from ..backends.base import FileWorkload
from ..campaign.setup import Setup
from ..errors import BackendError, UsageError
from ..factors.planned_network import PlannedNetwork
from ..models.network import Network
from ..models.network_error import NetworkError
from ..models.notes import error_note
from ..models.pictures import Calibration
from ..options.networks import VerifyOptions
from ..quantization.choice import Quantised, quantised_network
from ..records import Comparison, content_key

NAMES = ("original", "compressed")


def wants_int8(options: VerifyOptions, plan: documents.Plan) -> bool:
    """Whether networks are timed in int8, too: as asked, or as the plan is."""
    return plan.in_int8 if options.dtype is None else options.dtype == "int8"


def check_int8(options: VerifyOptions, setup: Setup) -> None:
    """Raise `UsageError` or `BackendError` where networks cannot be timed in int8."""
    if options.data is None:
        raise UsageError("int8 needs pictures to take ranges from: give --data")
    if setup.policy.phase == "training":
        raise UsageError("training steps are not timed in int8: leave --dtype or --phase out")
    if FileWorkload not in setup.backend.accepts:
        raise BackendError(
            f"{setup.backend.name} runs no int8 files; verify with a backend that does, such as "
            "onnxruntime-cpu"
        )


def quantised_pair(
    planned: PlannedNetwork, compressed: Network, pictures: Calibration, in_float: Sequence[str]
) -> dict[str, Quantised]:
    """Both networks in int8, by name (see `NAMES`), save for these layers and, in the compressed
    one, those that the plan leaves in float."""
    original = planned.network
    pairs = (original, in_float), (compressed, [*in_float, *planned.plan.in_float])
    return {
        name: quantised_network(original, network, pictures, planned.compared, kept)
        for name, (network, kept) in zip(NAMES, pairs, strict=True)
    }


def int8_key(plan: documents.Plan, name: str) -> str:
    """What names the network in int8 among those that are timed."""
    decisions = {n: d.to_json() for n, d in plan.decisions.items()} if name == NAMES[1] else {}
    return content_key([plan.model.sha256, decisions, "int8", name])


def int8_notes(
    planned: PlannedNetwork,
    found: Mapping[str, Quantised],
    comparisons: Mapping[str, Comparison],
    pictures: Calibration,
) -> list[documents.Int8Network]:
    """What the document says of each: its times, by the same names, and its errors on the report
    split."""
    inputs, names = pictures.report, pictures.names("report")
    wanted = planned.network.outputs(inputs)
    notes = []
    for name, one in found.items():
        outputs, timed = one.network.outputs(inputs), comparisons[name]
        error = NetworkError.of(planned.compared, wanted, outputs, len(names))
        notes.append(
            documents.Int8Network(
                network=name,  # type: ignore[arg-type]
                recipe=one.recipe.name,
                latency_s=timed.latency_s,
                speedup=timed.speedup,
                speedup_low=timed.speedup_low,
                speedup_high=timed.speedup_high,
                network_error=error.value,
                errors=error_note(error, names),
            )
        )
    return notes
