"""Low rank, int8, or both: four networks timed side by side, and what each loses on other pictures.

    python benchmarks/int8_networks.py int8_networks.jsonl --budget 60m
    python benchmarks/int8_networks.py int8_networks.jsonl --only demosaicking

The demosaicking network and ResNet-50-thin by plans in float32 at limits of the network error, and
by plans in float32 and in int8 whose limit is the error of plain int8; `resnet50` with random
weights, whose speed alone says something, with its wide 3x3 convolutions at a quarter of full
rank. The original and the low-rank network run in float32 and in int8, in one interleaved run on
each backend, one thread. Errors are those on photos that nothing else has seen; `naive` ones are
of the quantiser by itself.

Wanted: full rank in int8 within 10% of the quantiser's own error; at most the error of plain int8,
both together at least 1.25 times as fast as int8 alone and 1.15 times as fast as low rank alone.
Whether int8 is fast depends on the processor: the file says which instructions it has.
"""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from harness import Budget, Log, arguments, begin
from int8_networks_table import BACKENDS, IN_FLOAT32, IN_INT8, LIMITS, LOOSER, NAIVE, NAMES, report
from onnx import version_converter
from subjects import RANDOM, SUBJECTS

import rankwise as rw
from rankwise import documents
from rankwise.backends.host import cpu_hardware
from rankwise.campaign.setup import make_setup
from rankwise.db.store import Store
from rankwise.db.url import companion
from rankwise.factors.array_cache import ArrayCache
from rankwise.factors.assembly import Assembly
from rankwise.factors.planned_network import PlannedNetwork
from rankwise.lowrank import full_ranks
from rankwise.models.compared import Compared
from rankwise.models.exported import as_onnx
from rankwise.models.network import Network, Outputs
from rankwise.models.network_error import NetworkError
from rankwise.models.onnx_file import opset
from rankwise.models.onnx_network import OnnxNetwork
from rankwise.models.pictures import Calibration, load_calibration
from rankwise.network_timing.inference_runs import compare_networks
from rankwise.quantization.calibration import Ready, spread
from rankwise.quantization.choice import best_of, recipes
from rankwise.quantization.preparation import FIRST_OPSET
from rankwise.quantization.recipe import PLAIN
from rankwise.records import Decomposition, LayerSpec
from rankwise.reporter import Listeners

PICTURES, UNSEEN = 60, 84
CASES: dict[str, tuple[float | str, ...]] = {
    "demosaicking": (0.006, 0.0068, 0.009, IN_FLOAT32, IN_INT8, LOOSER),
    "ResNet-50-thin": (0.05, 0.08, IN_FLOAT32, IN_INT8),
    "resnet50": (0.25,),
}
"""Limits of the network error, of plans; of the network without a plan the share of full rank."""
UNPLANNED = "resnet50"
ASKED: dict[str, dict[str, Any]] = {
    "demosaicking": {},
    "ResNet-50-thin": {"kinds": ("svd", "spatial_svd", "tucker2"), "rank_quantum": 32},
}
"""What is measured of layers: of the larger network the kinds that win most."""
PROFILE_S = 480.0
EVEN_ODDS = 0.5
"""Confidence in a plan's limit: what is compared here are errors as they are, not promises."""
WIDE = 64
"""Channels that a convolution has at least which is decomposed without a plan."""
NETWORKS = {**SUBJECTS, RANDOM.name: RANDOM}
KIND = "tucker2"


def main() -> None:
    options = arguments(__doc__ or "", only="")
    log, budget = begin(options)
    if not log.of(kind="machine"):
        log.add(kind="machine", **cpu_hardware(), instructions=integer_instructions())
    for name, limits in CASES.items():
        for limit in limits if options.only in name else ():
            one_case(log, budget, options, name, limit)
    report(log, CASES)


def integer_instructions() -> list[str]:
    """Instructions for integer products that this processor says it has."""
    flags = set(Path("/proc/cpuinfo").read_text(encoding="utf-8").split())
    return sorted(flags & {"avx2", "avx_vnni", "avx512_vnni", "amx_int8", "asimddp", "i8mm"})


@dataclass(frozen=True, slots=True, eq=False)
class Case:
    """A network, its pictures, and others to judge by."""

    network: Network
    pictures: Calibration
    compared: Compared
    folder: Path
    unseen: np.ndarray
    reference: Outputs
    of_pictures: int

    def error(self, other: Network) -> float:
        """On the unseen pictures."""
        given = other.outputs(self.unseen)
        outputs = dict(zip(self.reference, given.values(), strict=True))  # exporters rename them
        return NetworkError.of(self.compared, self.reference, outputs, self.of_pictures).value


@cache
def case_of(name: str, place: Path) -> Case:
    subject = NETWORKS[name]
    network = subject.network()
    folder, others = subject.drawn(PICTURES, 0, place / name, UNSEEN)
    pictures = load_calibration(folder, subject.preprocess, network.inputs)
    compared = Compared.whole(network.output_names.compared)
    reference = network.outputs(others.examples)
    return Case(network, pictures, compared, folder, others.examples, reference, others.pictures)


def one_case(log: Log, budget: Budget, options: Namespace, name: str, limit: float | str) -> None:
    """All rows of one low-rank network: its plan, errors, and times on each backend."""
    place, where = options.output.with_suffix(".work"), {"network": name, "limit": limit}
    db = f"sqlite:///{options.output.with_suffix('.db')}"
    if not budget.left:
        return
    case = case_of(name, place)
    missing = [one for one in BACKENDS if not log.of(kind="times", **where, backend=one)]
    if not missing and log.of(kind="errors", **where):
        return
    made = unplanned(case) if name == UNPLANNED else by_plan(log, case, name, limit, db)
    if not log.of(kind="errors", **where):
        trained = {} if name == UNPLANNED else {"theirs": by_the_quantiser(case, place)}
        networks = {**made.networks, **trained}
        errors = {key: case.error(network) for key, network in networks.items()}
        log.add(kind="errors", **where, errors=errors, recipes=made.recipes)
        print(name, limit, errors, made.recipes, flush=True)
    for backend in missing:
        if budget.left:
            rows = timed(case, made.networks, backend, db)
            log.add(kind="times", **where, backend=backend, rows=rows)
            print(name, limit, backend, rows, flush=True)


def by_plan(log: Log, case: Case, name: str, limit: float | str, db: str) -> Made:
    """Networks of a plan, made from what ONNX Runtime was measured to do."""
    where = {"kind": "plan", "network": name, "limit": limit}
    if not log.of(**where):
        log.add(**where, plan=planned(case, name, limit, db).model_dump(mode="json"))
    document = documents.Plan.model_validate(log.of(**where)[0]["plan"])
    planned_ = PlannedNetwork(document, case.network, ArrayCache(companion(db, ".cache")))
    return four(case, planned_.compressed(case.pictures), document.in_float)


def unplanned(case: Case) -> Made:
    """All wide 3x3 convolutions as `tucker2` at a share of both ranks."""
    (share,) = CASES[UNPLANNED]
    return four(case, by_share(case, float(share)))


def by_share(case: Case, share: float) -> Network:
    decisions = {}
    for use in case.network.layers:
        if use.spec is not None and _is_wide(use.spec):
            full = full_ranks(use.spec, "tucker2")
            ranks = tuple(round(share * rank / 16) * 16 for rank in full)
            decisions[use.name] = Decomposition("tucker2", ranks)
    return Assembly(case.network).network_with(decisions)


def _is_wide(spec: LayerSpec) -> bool:
    narrow = min(spec.in_channels, spec.out_channels) < WIDE
    return spec.kernel_size == (3, 3) and spec.groups == 1 and not narrow


def planned(case: Case, name: str, limit: float | str, db: str) -> documents.Plan:
    subject, dtype = NETWORKS[name], "float32"
    if isinstance(limit, str):
        factor, dtype = LIMITS[limit], limit.partition(" ")[0]
        limit = factor * plain_error(case)
    asked: dict[str, Any] = {"backend": BACKENDS[0], "db": db, "dtype": dtype}
    asked["input_shape"] = subject.input_shape
    rw.profile(subject.path, max_time_s=PROFILE_S, **ASKED[name], **asked)
    try:
        return rw.plan(
            subject.path,
            max_error=limit,
            calibration=case.folder,
            preprocess=subject.preprocess,
            confidence=EVEN_ODDS,
            **asked,
        )
    except rw.GoalNotReached as error:
        return error.document


def plain_error(case: Case) -> float:
    """What int8 alone loses, as the quantiser does it by itself: the root mean square of what it
    loses on the pictures where plans are searched and on those where they are confirmed, as few
    photos more or less say something else."""
    made = Ready.of(case.network, case.pictures).quantised(PLAIN)

    def squared(split: str) -> float:
        inputs, count = case.pictures.make(split), len(case.pictures.names(split))
        wanted, given = case.network.outputs(inputs), made.outputs(inputs)
        return NetworkError.of(case.compared, wanted, given, count).value ** 2

    return float(np.sqrt((squared("select") + squared("confirm")) / 2))


@dataclass(frozen=True, slots=True, eq=False)
class Made:
    """Networks by name, and by which recipe those in int8 were made."""

    networks: dict[str, Network]
    recipes: dict[str, str]


def four(case: Case, low: Network, in_float: Sequence[str] = ()) -> Made:
    """The original in int8, low rank, and both together, save for what a plan left in float32."""
    one, two = in_int8(case, case.network), in_int8(case, low, tuple(in_float))
    networks: dict[str, Network] = {"low rank": low}
    recipes: dict[str, str] = {}
    for name, made in (("int8", one), ("both", two)):
        networks |= {name + variant: network for variant, network in made.networks.items()}
        recipes[name] = made.recipes[""]
    return Made(networks, recipes)


@cache
def in_int8(case: Case, network: Network, in_float: tuple[str, ...] = ()) -> Made:
    """A network by the best recipe, and as the quantiser does it alone."""
    reference = case.network.outputs(case.pictures.select)
    ready = Ready.of(network, case.pictures)
    tried = recipes(ready, in_float)
    found = best_of(ready, tried, reference, case.pictures, case.compared)
    naive = ready.quantised(PLAIN.with_in_float(in_float))
    return Made({"": found.network, NAIVE: naive}, {"": found.recipe.name})


def timed(case: Case, networks: Mapping[str, Network], backend: str, db: str) -> dict[str, Any]:
    """The four in one interleaved run."""
    setup = make_setup(case.network, backend=backend)
    with Store.open(db) as store:
        found = compare_networks(setup, store, {name: networks[name] for name in NAMES}, {})
    return {name: asdict(one) for name, one in found.items()}


def by_the_quantiser(case: Case, folder: Path) -> OnnxNetwork:
    """The original as somebody quantises it who calls ONNX Runtime's quantiser alone, on the same
    examples."""
    from onnxruntime.quantization import QuantType, quantize_static

    file, written = folder / "float.onnx", folder / "theirs.onnx"
    cut = as_onnx(case.network, Listeners(())).answering_compared()  # before a last softmax
    model = onnx.load(cut.to_onnx(folder / "own.onnx"))
    if opset(model) < FIRST_OPSET:
        model = version_converter.convert_version(model, FIRST_OPSET)
    onnx.save(model, file)
    rows = iter([{model.graph.input[0].name: row[None]} for row in spread(case.pictures.fit, 32)])

    class Reader:  # of the kind that the quantiser asks
        def get_next(self) -> dict[str, np.ndarray] | None:
            return next(rows, None)

    quantize_static(
        file,
        written,
        Reader(),
        per_channel=True,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
    )
    return OnnxNetwork.load(written, input_shape=case.network.input_shape)


if __name__ == "__main__":
    main()
