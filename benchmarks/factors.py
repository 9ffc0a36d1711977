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
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "examples"))

import numpy as np
from factor_honesty import honesty
from factor_subjects import NETWORKS, SPLITS, Results, layer_specs, load, photos

from rankwise.factors.array_cache import ArrayCache
from rankwise.factors.assembly import Assembly
from rankwise.factors.moments import LayerMoments, gather_moments, wanted_moments
from rankwise.lowrank import Factorizer, applicable_kinds, factorizer, full_ranks
from rankwise.lowrank.output_error import OutputError, effective_weight
from rankwise.models.network import Network
from rankwise.models.pictures import Calibration
from rankwise.models.source import load_network
from rankwise.records import LayerSpec

KINDS = ("svd", "channel_svd", "spatial_svd", "tucker2")
SHARES = (0.25, 0.5)


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
