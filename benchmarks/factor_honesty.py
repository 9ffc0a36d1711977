"""`factors.py honesty`: what the select split predicts of the report split."""

from __future__ import annotations

import statistics
import sys
import tempfile
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "examples"))

import numpy as np
from assets import fetch
from factor_subjects import NETWORKS, SPLITS, Results, layer_specs, photos

from rankwise.factors.array_cache import ArrayCache
from rankwise.factors.assembly import Assembly
from rankwise.factors.moments import gather_moments, wanted_moments
from rankwise.lowrank import applicable_kinds, lower
from rankwise.models.fidelity import relative_error
from rankwise.models.network import Network
from rankwise.models.pictures import (
    SELECT_EXAMPLES,
    Calibration,
    Split,
    load_pictures,
)
from rankwise.models.preprocess import find_preprocess
from rankwise.models.source import load_network
from rankwise.planner.sensitivity import network_error
from rankwise.records import Decomposition, LayerSpec, content_key

FIT_PHOTOS = 12
SETS = [(others, crops, seed) for others in (66, 8) for crops in (1, 20) for seed in range(3)]
"""Photos in the select split (and in the report split), examples of each photo of the fit
split, and the seed by which photos are drawn."""
THRESHOLDS = (0.15, 0.2, 0.3)


def honesty(results: Results, work: Path) -> None:
    """Network errors of plans of ResNet-50-thin on the select and on the report split, for
    factors from twelve plain photos and from 20 crops of each.

    A plan gives each layer the lowest rank of its cheapest one-rank kind that keeps its layer
    error (on the select split) below a threshold. The select and the report split have 66
    photos each, or 8; crops bring a small select split up to what `plan` takes.
    """
    done = {(row["others"], row["crops"], row["seed"]) for row in results.rows("honesty")}
    for others, crops, seed in SETS:
        if (others, crops, seed) not in done and not results.spent:
            found = list(predicted_and_reported(work, others, crops, seed))
            results.add("honesty", others=others, crops=crops, seed=seed, plans=found)
    rows = results.rows("honesty")
    print(
        "| select, report | crops | plans | select / report: median (range) | within 25% | bound |"
    )
    print("|---|---|---|---|---|---|")
    for others, crops in sorted({(row["others"], row["crops"]) for row in rows}):
        of = [r["plans"] for r in rows if (r["others"], r["crops"]) == (others, crops)]
        plans = [plan for each in of for plan in each if 0.1 <= plan[0] <= 0.5]
        ratios = [select / report for select, report, _ in plans]
        inside = sum(0.75 <= ratio <= 1.25 for ratio in ratios)
        held = sum(report <= bound for _, report, bound in plans)
        print(
            f"| {others} photos | {crops} | {len(plans)} | {statistics.median(ratios):.2f} "
            f"({min(ratios):.2f}-{max(ratios):.2f}) | {inside} of {len(plans)} | "
            f"{held} of {len(plans)} |"
        )


def drawn(work: Path, network: Network, others: int, crops: int, seed: int) -> Calibration:
    """Twelve photos to fit, and twice as many others as are said, by chance from all."""
    pictures = load_pictures(photos(work, scenes=True))
    order = [int(i) for i in np.random.default_rng(seed).permutation(len(pictures))]
    ends = FIT_PHOTOS, FIT_PHOTOS + others, FIT_PHOTOS + 2 * others
    split = Split(tuple(order[: ends[0]]), *(tuple(order[a:b]) for a, b in pairwise(ends)))
    shape = network.input_shape[1:]
    view = find_preprocess(NETWORKS["ResNet-50-thin"][1], shape)

    def examples(indices: Sequence[int], count: int) -> Any:
        rng = np.random.default_rng(seed)
        made = [
            view(pixels, shape)
            for index in indices
            for pixels in windows(pictures[index].pixels, count, rng)
        ]
        return np.stack(made)

    key = content_key([[pictures[i].sha256 for i in order], others, crops])
    counts = crops, -(-SELECT_EXAMPLES // others), 1
    parts = split.fit, split.select, split.report
    arrays = {
        name: examples(part, count) for name, part, count in zip(SPLITS, parts, counts, strict=True)
    }
    sizes: Any = {name: len(array) for name, array in arrays.items()}
    recipe = NETWORKS["ResNet-50-thin"][1]
    return Calibration(key, ends[2], recipe, split, sizes, arrays.__getitem__)


def windows(pixels: Any, count: int, rng: np.random.Generator) -> Iterator[Any]:
    """The whole picture, then windows of 0.6 to 1 of its sides, mirrored half the time."""
    yield pixels
    for _ in range(count - 1):
        height, width = (round(rng.uniform(0.6, 1) * side) for side in pixels.shape[:2])
        top, left = (
            rng.integers(side - size + 1)
            for side, size in zip(pixels.shape, (height, width), strict=False)
        )
        window = pixels[top : top + height, left : left + width]
        yield window[:, :: rng.choice((-1, 1))]


def predicted_and_reported(
    work: Path, others: int, crops: int, seed: int
) -> Iterator[tuple[float, ...]]:
    """Plan by plan: the error on the select split, on the report split, and the bound that a
    plan's limit is held against."""
    source, _ = NETWORKS["ResNet-50-thin"]
    network = load_network(str(fetch(source)))
    calibration = drawn(work, network, others, crops, seed)
    specs = layer_specs(network)
    kinds = {
        name: [k for k in applicable_kinds(spec)[0] if k in ("svd", "channel_svd")]
        for name, spec in specs.items()
    }
    with tempfile.TemporaryDirectory(dir=work) as folder:
        cache = ArrayCache(Path(folder))
        moments = gather_moments(network, calibration, wanted_moments(specs, kinds), cache)
        assembly = Assembly(network, moments)
        references = [network.outputs(part) for part in (calibration.select, calibration.report)]
        for threshold in THRESHOLDS:
            chosen = {
                name: found
                for name, spec in specs.items()
                if (found := cheapest(assembly, name, spec, kinds[name], threshold)) is not None
            }
            smaller = assembly.network_with(chosen)
            select = network_error(references[0], smaller.outputs(calibration.select), others)
            report = relative_error(references[1], smaller.outputs(calibration.report))
            print(f"{others}, {crops}, {seed}, {threshold}: {select}, {report}", flush=True)
            yield select.value, report, select.upper


def cheapest(
    assembly: Assembly, name: str, spec: LayerSpec, kinds: Sequence[str], threshold: float
) -> Decomposition | None:
    for kind in kinds:
        curve = assembly.curve(name, kind)
        enough = [int(r) for r in curve.axes[0] if r % 4 == 0 and curve.at((int(r),)) <= threshold]
        if enough and lower(spec, Decomposition(kind, (enough[0],))).macs < spec.macs:
            return Decomposition(kind, (enough[0],))
    return None
