"""What factors from data lose against factors from weights alone, and what it takes to make them.

    python benchmarks/factors.py table       # layer errors on pictures that nothing else has seen
    python benchmarks/factors.py curves      # all error curves of resnet50, without data
    python benchmarks/factors.py moments     # calibration of ResNet-50-thin on 240 crops
    python benchmarks/factors.py honesty     # what the select split predicts of the report split

Results go into `--results` (a JSON line each) as they come; another run goes on where the last
one stopped, and `--budget SECONDS` says when to stop. The networks and the photos are those of
`examples/assets.py`. OMP_NUM_THREADS=1 is best where the machine is not quiet: threads that wait
for each other take longer than one.
"""

from __future__ import annotations

import argparse
import json
import resource
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "examples"))

import numpy as np
from assets import fetch
from scenes import fetch_scenes

from rankwise.factors.array_cache import ArrayCache
from rankwise.factors.assembly import Assembly
from rankwise.factors.moments import LayerMoments, gather_moments, wanted_moments
from rankwise.lowrank import Factorizer, applicable_kinds, factorizer, full_ranks, lower
from rankwise.lowrank.output_error import OutputError, effective_weight
from rankwise.models.fidelity import relative_error
from rankwise.models.network import Network
from rankwise.models.pictures import (
    SELECT_EXAMPLES,
    Calibration,
    Split,
    load_calibration,
    load_pictures,
)
from rankwise.models.preprocess import find_preprocess
from rankwise.models.source import load_network
from rankwise.planner.sensitivity import network_error
from rankwise.records import Decomposition, LayerSpec, content_key

KINDS = ("svd", "channel_svd", "spatial_svd", "tucker2")
SHARES = (0.25, 0.5)
NETWORKS = {
    "ResNet-50-thin": ("open-nsfw.onnx", "caffe-bgr"),
    "demosaicking": ("demosaicking:network", "demosaicking:mosaic"),
}
SPLITS = ("fit", "select", "report")


@dataclass(frozen=True)
class Results:
    """Rows already there, and a place for more."""

    path: Path
    deadline: float

    def rows(self, what: str) -> list[dict[str, Any]]:
        if not self.path.exists():
            return []
        lines = self.path.read_text(encoding="utf-8").splitlines()
        return [row for line in lines if (row := json.loads(line))["what"] == what]

    def add(self, what: str, **row: Any) -> None:
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"what": what, **row}) + "\n")

    @property
    def spent(self) -> bool:
        return time.monotonic() > self.deadline


def photos(work: Path, count: int | None = None, scenes: bool = False) -> Path:
    """A folder with the photos of both packages, or with the first of them; with those of
    `scenes.py` as well."""
    folder = work / f"photos-{count or 'all'}{'-scenes' * scenes}"
    if not folder.exists():
        folder.mkdir(parents=True)
        found = sorted([*fetch("photos").iterdir(), *fetch("snapshots").iterdir()])
        found += sorted(fetch_scenes().iterdir()) if scenes else []
        for file in found[:count]:
            shutil.copy(file, folder)
    return folder


def load(name: str, folder: Path, crops: int | None = None) -> tuple[Network, Calibration]:
    source, preprocess = NETWORKS[name]
    network = load_network(str(fetch(source)) if source.endswith(".onnx") else source)
    return network, load_calibration(folder, preprocess, network.input_shape, crops=crops)


def layer_specs(network: Network) -> dict[str, LayerSpec]:
    uses = network.layers
    return {use.name: use.spec for use in uses if use.spec and applicable_kinds(use.spec)[0]}


def moments_of(
    network: Network, calibration: Calibration, work: Path, splits: Sequence[Any]
) -> LayerMoments:
    """Of outputs and patches, whatever kinds apply."""
    specs = layer_specs(network)
    kinds = {name: applicable_kinds(spec)[0] for name, spec in specs.items()}
    wanted = {name: {"outputs", *of} for name, of in wanted_moments(specs, kinds).items()}
    return gather_moments(network, calibration, wanted, ArrayCache(work / "cache"), splits)


def table(results: Results, work: Path) -> None:
    """Layer errors on the report split, as a ratio to those of factors from the weights."""
    done = {(row["network"], row["layer"], row["kind"]) for row in results.rows("table")}
    for name in NETWORKS:
        network, calibration = load(name, photos(work))
        moments = moments_of(network, calibration, work, SPLITS)
        for layer, spec in layer_specs(network).items():
            for kind in applicable_kinds(spec)[0]:
                if kind in KINDS and (name, layer, kind) not in done and not results.spent:
                    for row in compared(network, moments, layer, spec, kind):
                        results.add("table", network=name, layer=layer, kind=kind, **row)
    print_table(results.rows("table"))


def compared(
    network: Network, moments: LayerMoments, layer: str, spec: LayerSpec, kind: str
) -> Iterator[dict[str, Any]]:
    weight, bias = network.weights(layer)
    source = "outputs" if kind in ("svd", "channel_svd") else "patches"
    fit, select = (moments.read(split, layer, source) for split in ("fit", "select"))  # type: ignore[arg-type]
    from_data = factorizer(spec, kind, weight, bias, fit, held_out=select)
    plain = factorizer(spec, kind, weight, bias)
    report = moments.read("report", layer, patches_or_outputs(moments, layer))
    for share in SHARES:
        ranks = tuple(max(1, round(share * full)) for full in full_ranks(spec, kind))
        errors = [
            reported_error(spec, made, ranks, weight, bias, report) for made in (plain, from_data)
        ]
        yield {
            "share": share,
            "ranks": ranks,
            "shrinkage": from_data.shrinkage_at(ranks),
            "weights": errors[0],
            "data": errors[1],
            "select": from_data.error(ranks),
        }


def patches_or_outputs(moments: LayerMoments, layer: str) -> Any:
    return "patches" if moments.has("report", layer, "patches") else "outputs"


def reported_error(
    spec: LayerSpec, made: Factorizer, ranks: tuple[int, ...], weight: Any, bias: Any, report: Any
) -> float:
    """Of the layer's output over the report split, from the links as they ship: W' and b'."""
    links = made.at(ranks)
    rebuilt = effective_weight([link.weight.astype(np.float64) for link in links])
    matrix = np.asarray(weight, np.float64).reshape(rebuilt.shape)
    shift = 0.0 if bias is None else np.asarray(bias, np.float64) - links[-1].bias
    if report.channels == matrix.shape[1]:
        judge = OutputError.of(spec, matrix, report, None)
        off = matrix - rebuilt
        lost = np.einsum("ij,ij->", off @ report.second, off)
        lost += 2 * np.sum(shift * (off @ report.mean)) + np.sum(shift * shift * np.ones(len(off)))
        return float(np.sqrt(max(lost, 0) / judge.total))
    # outputs: the chain is a projection, y' = M y + (b' - M b) with M = W' W^+
    project = rebuilt @ np.linalg.pinv(matrix)
    size = len(matrix)
    old = np.zeros(size) if bias is None else np.asarray(bias, np.float64)
    constant = (np.zeros(size) if bias is None else links[-1].bias) - project @ old
    off = np.eye(size) - project
    lost = np.einsum("ij,ij->", off @ report.second, off)
    lost += -2 * constant @ (off @ report.mean) + constant @ constant
    whole = report.covariance if spec.bias else report.second
    return float(np.sqrt(max(lost, 0) / np.trace(whole)))


def print_table(rows: Sequence[dict[str, Any]]) -> None:
    print("| network | kind | rank | layers | from weights | from data | median | worst | worse |")
    print("|---|---|---|---|---|---|---|---|---|")
    for name in NETWORKS:
        for kind in KINDS:
            for share in SHARES:
                print_line(name, kind, share, rows)
    ratios = [row["data"] / row["weights"] for row in rows]
    if ratios:
        above = sum(ratio > 1.02 for ratio in ratios)
        print(
            f"{len(ratios)} comparisons: median ratio {statistics.median(ratios):.3f}, "
            f"worst {max(ratios):.3f}, {above} above 1.02"
        )


def print_line(name: str, kind: str, share: float, rows: Iterable[dict[str, Any]]) -> None:
    """Medians of errors and ratios over layers, the worst ratio, and how many are above 1."""
    of = [r for r in rows if (r["network"], r["kind"], r["share"]) == (name, kind, share)]
    if not of:
        return
    ratios = [row["data"] / row["weights"] for row in of]
    weights, data = (statistics.median(row[key] for row in of) for key in ("weights", "data"))
    print(
        f"| {name} | {kind} | {share:g} | {len(of)} | {weights:.3f} | {data:.3f} | "
        f"{statistics.median(ratios):.3f} | {max(ratios):.3f} | {sum(r > 1 for r in ratios)} |"
    )


def curves(results: Results, work: Path) -> None:
    """Every error curve of the zoo's resnet50 from its weights, in one process."""
    network = load_network("resnet50")
    with Clock("curves of resnet50") as clock, tempfile.TemporaryDirectory(dir=work) as folder:
        assembly = Assembly(network, cache=ArrayCache(Path(folder)))
        for name, spec in layer_specs(network).items():
            for kind in applicable_kinds(spec)[0]:
                if kind in KINDS:
                    found = assembly.curve(name, kind)
                    clock.count(f"{kind}{' (estimated)' if found.estimated else ''}")
    results.add("curves", **clock.row())


def moments(results: Results, work: Path) -> None:
    """Moments of outputs and patches of all layers of ResNet-50-thin over 240 crops."""
    network, calibration = load("ResNet-50-thin", photos(work, 24), crops=20)
    fit = calibration.fit[:240]
    assert len(fit) == 240
    calibration = replace(calibration, make=lambda _: fit)
    with tempfile.TemporaryDirectory(dir=work) as folder, Clock("moments of 240 crops") as clock:
        moments_of(network, calibration, Path(folder), ("fit",))
    results.add("moments", **clock.row())


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


FIT_PHOTOS = 12
SETS = [(others, crops, seed) for others in (66, 8) for crops in (1, 20) for seed in range(3)]
"""Photos in the select split (and in the report split), examples of each photo of the fit
split, and the seed by which photos are drawn."""
THRESHOLDS = (0.15, 0.2, 0.3)


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


class Clock:
    """Wall and processor seconds of what it encloses, and the process's largest memory."""

    def __init__(self, what: str) -> None:
        self.what = what
        self.counts: dict[str, int] = {}

    def __enter__(self) -> Clock:
        self._wall, self._cpu = time.monotonic(), time.process_time()
        return self

    def count(self, what: str) -> None:
        self.counts[what] = self.counts.get(what, 0) + 1

    def __exit__(self, *_: object) -> None:
        self.wall_s, self.cpu_s = time.monotonic() - self._wall, time.process_time() - self._cpu
        self.peak_bytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        print(
            f"{self.what}: {self.wall_s:.1f} s, processor {self.cpu_s:.1f} s, "
            f"peak memory {self.peak_bytes / 1e9:.2f} GB {self.counts or ''}"
        )

    def row(self) -> dict[str, Any]:
        return {"wall_s": self.wall_s, "cpu_s": self.cpu_s, "peak_bytes": self.peak_bytes}


def main() -> int:
    actions: dict[str, Callable[[Results, Path], None]] = {
        "table": table,
        "curves": curves,
        "moments": moments,
        "honesty": honesty,
    }
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=_Raw)
    parser.add_argument("action", choices=actions)
    parser.add_argument("--work", type=Path, default=Path("demo/factors"))
    parser.add_argument("--results", type=Path)
    parser.add_argument("--budget", type=float, default=float("inf"), help="seconds")
    given = parser.parse_args()
    given.work.mkdir(parents=True, exist_ok=True)
    path = given.results or given.work / "results.jsonl"
    actions[given.action](Results(path, time.monotonic() + given.budget), given.work)
    return 0


class _Raw(argparse.RawDescriptionHelpFormatter):
    """Keeps the docstring's lines."""


if __name__ == "__main__":
    sys.exit(main())
