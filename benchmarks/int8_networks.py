"""Low rank, int8, or both: four networks timed side by side, and what each loses on other pictures.

    python benchmarks/int8_networks.py int8_networks.jsonl --budget 40m

ResNet-50-thin and the demosaicking network, planned for at a few limits of the network error, and
`resnet50` with random weights, whose speed alone says something: no plan, its 3x3 convolutions at a
share of full rank. The original and the low-rank network run in float32 and in int8, in one
interleaved run on each backend, one thread. Errors are those on photos that neither plan nor
quantiser has seen: with chains balanced, as the quantiser does it by itself (`naive`), and with the
layers that int8 hurts most in float.

Wanted: full rank in int8 within 10% of the quantiser's own error; at most the error of plain int8,
both together at least 1.25 times as fast as int8 alone and 1.15 times as fast as low rank alone.
Whether int8 is fast depends on the processor: the file says which instructions it has.
"""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from harness import Budget, Log, Row, arguments, begin, show, verdict
from onnx import version_converter
from subjects import SUBJECTS, Subject

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
from rankwise.models.network import Network, Outputs
from rankwise.models.network_error import NetworkError
from rankwise.models.onnx_file import opset
from rankwise.models.onnx_network import OnnxNetwork
from rankwise.models.pictures import Calibration, load_calibration
from rankwise.network_timing.inference_runs import compare_networks
from rankwise.quantization.calibration import Ready, spread
from rankwise.quantization.choice import best_of, recipes
from rankwise.quantization.layer_gains import worst_in_float
from rankwise.quantization.preparation import FIRST_OPSET
from rankwise.quantization.recipe import PLAIN
from rankwise.records import Decomposition

PICTURES, UNSEEN = 60, 84
BACKENDS = ("onnxruntime-cpu", "openvino-cpu")
LIMITS = {
    "demosaicking": (0.006, 0.012, 0.024),
    "ResNet-50-thin": (0.08, 0.16),
    "resnet50": (0.25,),
}
"""Of the network error; of `resnet50` the share of full rank that its 3x3 convolutions keep."""
IN_FLOAT = 2
"""Layers, of those that int8 hurts most, that one more network of each kind has in float."""
RANDOM = Subject("resnet50", "resnet50", (1, 3, 224, 224), "imagenet")
NETWORKS = {**SUBJECTS, "resnet50": RANDOM}
NAMES = ("int8", "low rank", "both")
NAIVE, MIXED = ", naive", f", {IN_FLOAT} in float"


def main() -> None:
    options = arguments(__doc__ or "", only="")
    log, budget = begin(options)
    if not log.of(kind="machine"):
        log.add(kind="machine", **cpu_hardware(), instructions=integer_instructions())
    for name, limits in LIMITS.items():
        for limit in limits if options.only in name else ():
            one_case(log, budget, options, name, limit)
    report(log)


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


def one_case(log: Log, budget: Budget, options: Namespace, name: str, limit: float) -> None:
    """All rows of one low-rank network: its plan, errors, and times on each backend."""
    place, where = options.output.with_suffix(".work"), {"network": name, "limit": limit}
    db = f"sqlite:///{options.output.with_suffix('.db')}"
    if not budget.left:
        return
    case = case_of(name, place)
    low = by_plan(log, case, name, limit, db) if name in SUBJECTS else by_share(case, limit)
    missing = [one for one in BACKENDS if not log.of(kind="times", **where, backend=one)]
    if not missing and log.of(kind="errors", **where):
        return
    made = four(case, low, name in SUBJECTS)
    if not log.of(kind="errors", **where):
        networks = {**made.networks, "theirs": by_the_quantiser(case, place)}
        errors = {key: case.error(network) for key, network in networks.items()}
        log.add(kind="errors", **where, errors=errors, recipes=made.recipes)
        print(name, limit, errors, made.recipes, flush=True)
    for backend in missing:
        if budget.left:
            rows = timed(case, made.networks, backend, db)
            log.add(kind="times", **where, backend=backend, rows=rows)
            print(name, limit, backend, rows, flush=True)


def by_plan(log: Log, case: Case, name: str, limit: float, db: str) -> Network:
    """The network of a plan in float32, made from what ONNX Runtime was measured to do."""
    where = {"kind": "plan", "network": name, "limit": limit}
    if not log.of(**where):
        log.add(**where, plan=planned(case, name, limit, db).model_dump(mode="json"))
    document = documents.Plan.model_validate(log.of(**where)[0]["plan"])
    made = PlannedNetwork(document, case.network, ArrayCache(companion(db, ".cache")))
    return made.compressed(case.pictures)


def by_share(case: Case, share: float) -> Network:
    """All 3x3 convolutions at that share of full rank, from the weights alone."""
    wide = {use.name: use.spec for use in case.network.layers if use.spec is not None}
    square = {name: spec for name, spec in wide.items() if spec.kernel_size == (3, 3)}
    ranks = {name: full_ranks(spec, "channel_svd")[0] for name, spec in square.items()}
    decisions = {n: Decomposition("channel_svd", (round(share * r),)) for n, r in ranks.items()}
    return Assembly(case.network).network_with(decisions)


def planned(case: Case, name: str, limit: float, db: str) -> documents.Plan:
    subject = NETWORKS[name]
    asked: dict[str, Any] = {"backend": BACKENDS[0], "db": db}
    asked["input_shape"] = subject.input_shape
    rw.profile(subject.path, **asked)
    try:
        return rw.plan(
            subject.path,
            max_error=limit,
            calibration=case.folder,
            preprocess=subject.preprocess,
            **asked,
        )
    except rw.GoalNotReached as error:
        return error.document


@dataclass(frozen=True, slots=True, eq=False)
class Made:
    """Networks by name, and by which recipe those in int8 were made."""

    networks: dict[str, Network]
    recipes: dict[str, str]


def four(case: Case, low: Network, with_variants: bool) -> Made:
    """The original in int8, low rank, and both together, with variants of those in int8."""
    one, two = in_int8(case, case.network, with_variants), in_int8(case, low, with_variants)
    networks: dict[str, Network] = {"low rank": low}
    recipes: dict[str, str] = {}
    for name, made in (("int8", one), ("both", two)):
        networks |= {name + variant: network for variant, network in made.networks.items()}
        recipes |= {name + variant: recipe for variant, recipe in made.recipes.items()}
    return Made(networks, recipes)


@cache
def in_int8(case: Case, network: Network, with_variants: bool) -> Made:
    """A network by the best recipe, as the quantiser does it alone, and with the layers in float
    that int8 hurts most."""
    reference = case.network.outputs(case.pictures.select)
    ready = Ready.of(network, case.pictures)
    found = best_of(ready, recipes(ready, case.pictures), reference, case.pictures, case.compared)
    made = Made({"": found.network}, {"": found.recipe.name})
    if with_variants:
        made.networks[NAIVE] = ready.quantised(PLAIN)
        select = case.pictures.select
        mixed = worst_in_float(ready, found.recipe, case.compared, select, IN_FLOAT)
        made.networks[MIXED] = ready.quantised(mixed)
        made.recipes[MIXED] = ", ".join(sorted(mixed.in_float))
    return made


def timed(case: Case, networks: Mapping[str, Network], backend: str, db: str) -> dict[str, Any]:
    """The four in one interleaved run; those with layers in float in another."""
    setup = make_setup(case.network, backend=backend)
    rows = {}
    parts = NAMES, [name for name in networks if name.endswith(MIXED)]
    with Store.open(db) as store:
        for part in filter(None, parts):
            others = {name: networks[name] for name in part}
            found = compare_networks(setup, store, others, {})
            rows |= {name: asdict(one) for name, one in found.items()}
    return rows


def by_the_quantiser(case: Case, folder: Path) -> OnnxNetwork:
    """The original as somebody quantises it who calls ONNX Runtime's quantiser alone, on the same
    examples."""
    from onnxruntime.quantization import QuantType, quantize_static

    file, written = folder / "float.onnx", folder / "theirs.onnx"
    model = onnx.load(case.network.to_onnx(folder / "own.onnx"))
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


def report(log: Log) -> None:
    for row in log.of(kind="machine"):
        print(f"{row['chip']}, {', '.join(row['instructions']) or 'no integer instructions'}")
    lines = [_line(log, row) for row in log.of(kind="times")]
    columns = ("network", "limit", "backend", *NAMES, "both / int8", "both / low rank")
    show((*columns, "error: int8", "low rank", "both"), lines)
    rows = [_errors(row) for row in log.of(kind="errors")]
    show(("network", "limit", "theirs", "int8", "naive", "both", "naive", "both, mixed"), rows)
    for row in log.of(kind="errors"):
        if "theirs" in row["errors"]:
            ratio = row["errors"]["int8, naive"] / row["errors"]["theirs"]
            name = f"{row['network']} {row['limit']}: full rank over the quantiser's own"
            verdict(name, ratio, ratio <= 1.1, "at most 1.1")
    for network in LIMITS:
        _aim(log, network)


def _line(log: Log, row: Row) -> list[Any]:
    found = row["rows"]
    errors = _of(log, row)
    speedups = [spread_of(found[name]) for name in NAMES]
    ratios = [f"{one:.2f} [{low:.2f}, {high:.2f}]" for one, low, high in _ratios(found)]
    known = [errors[name] if row["network"] in SUBJECTS else "" for name in NAMES]
    return [row["network"], row["limit"], row["backend"], *speedups, *ratios, *known]


def spread_of(found: Mapping[str, float]) -> str:
    return f"{found['speedup']:.2f} [{found['speedup_low']:.2f}, {found['speedup_high']:.2f}]"


def _ratios(found: Mapping[str, Any], both: str = "both") -> list[tuple[float, float, float]]:
    """How much faster both together are than int8, and than low rank: medians of the same rounds,
    their intervals added as independent ones."""
    ratios = []
    for other in ("int8", "low rank"):
        one, two = found[both], found[other]
        ratio = one["speedup"] / two["speedup"]
        halves = [np.log(x["speedup_high"] / x["speedup_low"]) / 2 for x in (one, two)]
        half = float(np.exp(np.hypot(*halves)))
        ratios.append((ratio, ratio / half, ratio * half))
    return ratios


def _of(log: Log, row: Row) -> dict[str, float]:
    (found,) = log.of(kind="errors", network=row["network"], limit=row["limit"])
    return dict(found["errors"])


def _errors(row: Row) -> list[Any]:
    wanted = ("theirs", "int8", "int8" + NAIVE, "both", "both" + NAIVE, "both" + MIXED)
    return [row["network"], row["limit"], *(row["errors"].get(name, "") for name in wanted)]


def _aim(log: Log, network: str) -> None:
    """The fastest of both together whose error is at most plain int8's, held against the aim."""
    found = []
    for row in log.of(kind="times", network=network, backend=BACKENDS[0]):
        errors = _of(log, row)
        for name in ("both", "both" + MIXED):
            if name in row["rows"] and errors[name] <= errors["int8, naive"]:
                found.append((_ratios(row["rows"], name), row["limit"], name))
    if not found:
        print(f"{network}: no plan of both has at most the error of plain int8")
        return
    ((over_int8, *_), (over_low, *_)), limit, name = max(found)
    met = over_int8 >= 1.25 and over_low >= 1.15
    said = f"{over_int8:.2f} over int8, {over_low:.2f} over low rank"
    verdict(f"{network}: {name} at {limit}", said, met, "1.25 and 1.15")


if __name__ == "__main__":
    main()
