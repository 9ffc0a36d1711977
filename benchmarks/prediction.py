"""Prediction of whole networks: random plans, predicted before they are timed.

    python benchmarks/prediction.py prediction.jsonl --budget 90m
    python benchmarks/prediction.py int8.jsonl --dtype int8 --tested 12 --budget 40m

`resnet50` and ResNet-50-thin on onnxruntime-cpu, `resnet50` on torch-cpu, one thread. Each
network is profiled (isolated and marginal), 8 random plans are timed to fit the latency model,
and 20 others, with speedups from 1.1 to 2.0 by the isolated sums, are predicted and then timed,
paired with the original. Wanted: median |predicted / measured - 1| at most 3%, at most one of
20 beyond 10%, at most half the error of the summed isolated latencies (all layers, before and
after; "sum of savings" takes their difference from the measured network); intervals that hold 90%.

With `--dtype int8` rows are of int8 layers, and plans are networks quantised with photos, over the
original in int8; wanted there: a median error of at most 2%. `--kinds` and `--rank-quantum` ask for
fewer candidates, where time is short.
"""

from __future__ import annotations

import sys
import time
from argparse import Namespace
from dataclasses import asdict, replace
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from harness import Budget, Log, arguments, begin, show, verdict
from subjects import RANDOM, SUBJECTS

from rankwise.campaign.rows import measured, rows_of
from rankwise.campaign.setup import Setup, make_setup
from rankwise.db.store import Store
from rankwise.factors.assembly import Assembly
from rankwise.models.compared import Compared
from rankwise.models.pictures import load_calibration
from rankwise.network_timing.inference_runs import NETWORK_EFFORT, compare_networks
from rankwise.planner.precision import INT8, InInt8
from rankwise.records import Comparison, Verdict
from rankwise.search.network_model import NetworkModel, Part, PlanParts, PlanRun
from rankwise.search.space import standard_error
from rankwise.search.table import SpeedupTable, TableRow
from rankwise.workflow.profile import profile

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "examples"))
from assets import fetch

CASES = {
    "float32": (
        ("resnet50", "onnxruntime-cpu"),
        ("open-nsfw.onnx", "onnxruntime-cpu"),
        ("resnet50", "torch-cpu"),
    ),
    INT8: (("open-nsfw.onnx", "onnxruntime-cpu"), ("resnet50", "onnxruntime-cpu")),
}
MOST_ERROR = {"float32": 0.03, INT8: 0.02}
SUBJECTS_BY_SOURCE = {one.source: one for one in (*SUBJECTS.values(), RANDOM)}
CONTEXTS = {"float32": ("isolated", "marginal"), INT8: ("isolated",)}
TRAINING, TESTED = 8, 20
PICTURES = 40
LOWEST, HIGHEST = 1.1, 2.0


def main() -> None:
    options = arguments(
        __doc__ or "", tested=TESTED, only="", dtype="float32", kinds="", rank_quantum=0
    )
    log, budget = begin(options)
    cases = CASES[options.dtype]
    for network, backend in cases:
        if options.only in f"{network} {backend}":
            one_case(log, budget, network, backend, options)
    for network, backend in cases:
        where = {"network": network, "backend": backend, "dtype": options.dtype}
        totals = [row["total_s"] for row in log.of(kind="layers", **where)]
        report(where, log.of(kind="plan", **where), totals)


def one_case(log: Log, budget: Budget, network: str, backend: str, options: Namespace) -> None:
    db = f"sqlite:///{options.output.with_suffix('.db')}"
    source = str(fetch(network)) if network.endswith(".onnx") else network
    shape = (1, 224, 224, 3) if network.endswith(".onnx") else None
    common = {"backend": backend, "input_shape": shape, "dtype": options.dtype}
    contexts = CONTEXTS[options.dtype]
    tried: dict[str, Any] = {
        "kinds": options.kinds.split(",") if options.kinds else None,
        "rank_quantum": options.rank_quantum or None,
    }
    for context in contexts:
        if not budget.left:
            return
        left = max(budget.end - time.monotonic(), 1.0)
        profile(source, db=db, context=context, max_time_s=left, **tried, **common)
    settings = {c: make_setup(source, context=c, **common) for c in contexts}
    with Store.open(db) as store:
        tables = {c: SpeedupTable(rows_of(measured(store, s))) for c, s in settings.items()}
        setup, where = settings["isolated"], {"network": network, **common}
        where.pop("input_shape")
        if not log.of(kind="layers", **where):
            log.add(kind="layers", **where, total_s=total_of(setup, tables["isolated"]))
        assembly = assembly_of(setup, options)
        timed_against = setup
        if assembly.form is not None:
            timed_against = replace(setup, network=assembly.network_with({}))
        for number in range(TRAINING + options.tested):
            cell = {"kind": "plan", **where, "number": number}
            if log.of(**cell) or not budget.left:
                continue
            chosen = random_plan(setup, tables["isolated"], number)
            decisions = {name: row.decomposition for name, row in chosen.items()}
            others = {str(number): assembly.network_with(decisions)}
            effort = replace(NETWORK_EFFORT, preparations=2)
            found = compare_networks(timed_against, store, others, {}, effort)[str(number)]
            parts = {c: parts_of(chosen, table) for c, table in tables.items()}
            log.add(**cell, parts=parts, found=asdict(found))


def assembly_of(setup: Setup, options: Namespace) -> Assembly:
    """What makes the networks, of factors from the weights; quantised with photos in int8."""
    assembly = Assembly(setup.network)
    if setup.policy.dtype != INT8:
        return assembly
    subject = SUBJECTS_BY_SOURCE[Path(setup.network.source).name]
    folder, _ = subject.drawn(PICTURES, 0, options.output.with_suffix(".work") / subject.name)
    pictures = load_calibration(folder, subject.preprocess, setup.network.inputs)
    compared = Compared.whole(setup.network.output_names.compared)
    return assembly.in_form(InInt8(setup.network, pictures, compared))


def random_plan(setup: Setup, table: SpeedupTable, seed: int) -> dict[str, TableRow]:
    """Layers in random order, each with a random candidate that is faster, until the isolated
    sums promise the speedup that was drawn."""
    rng = np.random.default_rng(seed)
    wanted = total_of(setup, table) * (1 - 1 / rng.uniform(LOWEST, HIGHEST))
    chosen: dict[str, TableRow] = {}
    for index in rng.permutation(len(setup.network.layers)):
        use = setup.network.layers[index]
        rows = table.rows(use.spec.key) if use.spec else ()
        faster = [row for row in rows if row.verdict is Verdict.FASTER]
        if faster and sum(row.saving_s for row in chosen.values()) < wanted:
            chosen[use.name] = faster[int(rng.integers(len(faster)))]
    return chosen


def total_of(setup: Setup, table: SpeedupTable) -> float:
    """Seconds of all layers that were timed alone, originals."""
    return sum(
        rows[0].original_latency_s
        for use in setup.network.layers
        if use.spec and (rows := table.rows(use.spec.key))
    )


def parts_of(chosen: dict[str, TableRow], table: SpeedupTable) -> list[list]:
    """(key, saving, standard error, original latency) of each replaced layer."""
    parts = []
    for row in chosen.values():
        other = table.get((row.spec_key, row.decomposition), row)
        key = f"{row.spec_key} {row.decomposition}"
        parts.append([key, other.saving_s, standard_error(other), row.original_latency_s])
    return parts


def report(where: dict[str, str], rows: list[dict], totals: list[float]) -> None:
    training = [row for row in rows if row["number"] < TRAINING]
    tested = [row for row in rows if row["number"] >= TRAINING]
    if not training or not tested or not totals:
        return
    measured_ = [row["found"]["speedup"] for row in tested]
    spread = f"measured speedups {min(measured_):.2f} to {max(measured_):.2f}"
    network, backend, dtype = where.values()
    print(f"\n{network} on {backend} in {dtype}: {len(tested)} plans, {spread}")
    original_s = median(row["found"]["original_latency_s"] for row in rows)
    lines, errors, inside = [], {}, {}
    for context in CONTEXTS[dtype]:
        model = NetworkModel(original_s, [run_of(row, context) for row in training])
        forecasts = [model.forecast(plan_of(row, context)) for row in tested]
        differences = [1 / (1 - alone(row, context, original_s)) for row in tested]
        errors[context, "sum of savings"] = errors_of(differences, measured_)
        if context == "isolated":
            sums = [1 / (1 - alone(row, context, totals[0])) for row in tested]
            errors[context, "sum of latencies"] = errors_of(sums, measured_)
        errors[context, "model"] = errors_of([f.speedup for f in forecasts], measured_)
        pairs = list(zip(forecasts, measured_, strict=True))
        inside[context] = sum(f.speedup_low <= m <= f.speedup_high for f, m in pairs) / len(pairs)
        half = median(f.speedup_high / f.speedup - 1 for f in forecasts)
        for method, found in ((m, e) for (c, m), e in errors.items() if c == context):
            beyond = sum(error > 0.1 for error in found)
            lines.append((context, method, median(found), max(found), beyond))
        print(f"{context}: held-out {model.held_out()}, half-width {half:.3f}")
    show(("context", "method", "median error", "largest", "beyond 10%"), lines)
    best = errors["isolated", "model"]
    most = MOST_ERROR[dtype]
    verdict("median error", median(best), median(best) <= most, f"at most {most}")
    beyond = sum(error > 0.1 for error in best)
    verdict("beyond 10%", beyond, beyond <= 1, "at most 1")
    if dtype != INT8:  # what is wanted there is said above
        half_sum = median(errors["isolated", "sum of latencies"]) / 2
        of_sums = f"{half_sum:.3g}"
        verdict("against half the sums' error", median(best), median(best) <= half_sum, of_sums)
    verdict("intervals hold", inside["isolated"], inside["isolated"] >= 0.9, "at least 0.9")


def plan_of(row: dict, context: str) -> PlanParts:
    parts = [Part(key, saving, se) for key, saving, se, _ in row["parts"][context]]
    return PlanParts(str(row["number"]), tuple(parts))


def run_of(row: dict, context: str) -> PlanRun:
    return PlanRun.of(plan_of(row, context), Comparison(**row["found"]))


def alone(row: dict, context: str, original_s: float) -> float:
    """Share of `original_s` (of the network, or of all layers alone) that single layers save."""
    return min(sum(part[1] for part in row["parts"][context]) / original_s, 0.95)


def errors_of(predicted: list[float], found: list[float]) -> list[float]:
    return [abs(p / m - 1) for p, m in zip(predicted, found, strict=True)]


if __name__ == "__main__":
    main()
