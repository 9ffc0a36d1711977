"""What factors from both sides of a layer lose, against others, on pictures nothing else has seen.

    python benchmarks/two_sided.py two_sided.jsonl --budget 20m --no-doctor

Three ways: from the weights alone; from input moments alone; from input moments and the output
metric. Shrinkages are chosen on the select split. First many layers are replaced at once: the
thirteen 64 -> 64 convolutions of the demosaicking network, and all layers of ResNet-50-thin at a
share of full rank; wanted is that two sides lose at most half, and three quarters, of what one
does.

Then `never worse`: single layers, kinds and ranks by lot, eight pictures in all to make factors
from and to choose by. `plan` takes at each rank the way that loses least on the select split; on
unseen pictures that must be within 2% of the best of the three.
"""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

import numpy as np
from harness import Log, arguments, begin, show, verdict
from subjects import SUBJECTS, Unseen

from rankwise.factors.array_cache import ArrayCache
from rankwise.factors.assembly import Assembly
from rankwise.factors.moments import LayerMoments, gather_metrics, gather_moments, wanted_moments
from rankwise.lowrank import Shrinkage, applicable_kinds, full_ranks, rank_step
from rankwise.models.compared import Compared
from rankwise.models.network import Network
from rankwise.models.network_error import NetworkError
from rankwise.models.pictures import load_calibration
from rankwise.records import Decomposition, LayerSpec

Decisions = Mapping[str, Decomposition]
WAYS = ("weights", "inputs", "two-sided")
"""What factors are made from."""
NETWORKS = ("demosaicking", "ResNet-50-thin")
WHOLE = (
    ("demosaicking", "channel_svd", 32, 0.5),
    ("demosaicking", "channel_svd", 48, 0.5),
    ("demosaicking", "spatial_svd", 32, 0.5),
    ("ResNet-50-thin", "channel_svd", 1 / 4, 0.75),
    ("ResNet-50-thin", "channel_svd", 3 / 8, 0.75),
)
"""Network, kind (1x1 convolutions and linear layers: svd), rank or share of full rank, and the most
that two-sided factors may lose for each that one-sided ones do."""
KINDS = ("svd", "channel_svd", "spatial_svd", "input_svd", "tucker2", "cp")
SHARES = (0.125, 0.25, 0.5, 0.75)
NARROW = 8
"""Fewer input or output channels leave no rank to take away: the colours, the two logits."""
FEW = 8
"""Pictures in all of the cases that must never be worse."""
NEVER_WORSE = 1.02


def main() -> None:
    options = arguments(__doc__ or "", pictures=60, unseen=60, cases=20, seed=0)
    log, budget = begin(options)
    for network, kind, rank, _ in WHOLE:
        row = {"kind": "whole", "network": network, "way": kind, "rank": rank}
        if budget.left and not log.of(**row):
            log.add(**row, errors=whole(options, network, kind, rank))
    for number in range(options.cases):
        if budget.left and not log.of(kind="one", number=number):
            log.add(kind="one", number=number, **one(options, number))
    report(log)


@dataclass(frozen=True, slots=True, eq=False)
class Case:
    """A network, what its pictures say of its layers, and other pictures to judge by."""

    network: Network
    moments: LayerMoments
    compared: Compared
    unseen: Unseen
    reference: Mapping[str, np.ndarray]

    def error(self, assembly: Assembly, decisions: Decisions) -> float:
        outputs = assembly.network_with(decisions).outputs(self.unseen.examples)
        return NetworkError.of(self.compared, self.reference, outputs, self.unseen.pictures).value


@cache
def case_of(name: str, pictures: int, unseen: int, seed: int, place: Path) -> Case:
    """Moments and metrics of all layers, for all kinds."""
    subject = SUBJECTS[name]
    network = subject.network()
    folder, others = subject.drawn(pictures, seed, place / name, unseen)
    calibration = load_calibration(folder, subject.preprocess, network.input_shape, seed=seed)
    reference = network.outputs(others.examples)
    compared, specs = Compared.whole(reference), layer_specs(network)
    kinds = {layer: applicable_kinds(spec)[0] for layer, spec in specs.items()}
    cache_ = ArrayCache(place / "cache")
    moments = gather_moments(network, calibration, wanted_moments(specs, kinds), cache_)
    moments = gather_metrics(network, calibration, compared, list(specs), moments)
    return Case(network, moments, compared, others, reference)


def layer_specs(network: Network) -> dict[str, LayerSpec]:
    uses = network.layers
    return {use.name: use.spec for use in uses if use.spec and applicable_kinds(use.spec)[0]}


def whole(options: Namespace, name: str, kind: str, rank: float) -> dict[str, float]:
    """The network's error with all layers replaced, by what their factors were made from."""
    place = options.output.with_suffix(".work")
    case = case_of(name, options.pictures, options.unseen, options.seed, place)
    decisions = all_at(layer_specs(case.network), kind, rank)
    one_sided = gather_none(case.moments)
    made = {
        "weights": Assembly(case.network, cache=case.moments.cache),
        "inputs": Assembly(case.network, one_sided),
        "two-sided": Assembly(case.network, case.moments),
    }
    errors = {way: case.error(assembly, decisions) for way, assembly in made.items()}
    print(name, kind, rank, len(decisions), "layers", errors, flush=True)
    return errors


def gather_none(moments: LayerMoments) -> LayerMoments:
    """The same moments without metrics."""
    return LayerMoments(moments.cache, moments.network_sha256, moments.calibration_sha256)


def all_at(specs: Mapping[str, LayerSpec], kind: str, rank: float) -> dict[str, Decomposition]:
    """A rank: of all square layers of 64 channels. A share: of all layers that are not `NARROW`, of
    their full rank."""
    if rank >= 1:
        square = {n for n, s in specs.items() if (s.in_channels, s.out_channels) == (64, 64)}
        return {name: Decomposition(kind, (int(rank),)) for name in sorted(square)}
    found = {}
    for name, spec in specs.items():
        if min(spec.in_channels, spec.out_channels) >= NARROW:
            fitting = kind if kind in applicable_kinds(spec)[0] else "svd"
            found[name] = Decomposition(fitting, ranks_at(spec, fitting, rank))
    return found


def ranks_at(spec: LayerSpec, kind: str, share: float) -> tuple[int, ...]:
    step = rank_step(spec, kind)
    return tuple(max(1, round(share * full / step)) * step for full in full_ranks(spec, kind))


def one(options: Namespace, number: int) -> dict:
    """A layer, kind and rank by lot; of each way the network's error, and which way is taken."""
    rng = np.random.default_rng([options.seed, number])
    name = NETWORKS[number % len(NETWORKS)]
    case = case_of(name, FEW, options.unseen, options.seed, options.output.with_suffix(".work"))
    specs = layer_specs(case.network)
    layer = sorted(specs)[rng.integers(len(specs))]
    kinds = [kind for kind in applicable_kinds(specs[layer])[0] if kind in KINDS]
    kind, share = kinds[rng.integers(len(kinds))], float(rng.choice(SHARES))
    chosen = Decomposition(kind, ranks_at(specs[layer], kind, share))
    planner = Assembly(case.network, case.moments)
    error = partial(_one_layer, case, layer, chosen)
    ways = {named(shrinkage): shrinkage for shrinkage in planner.curve(layer, kind).ways}
    errors = {way: error(shrinkage) for way, shrinkage in ways.items()}
    taken = named(planner.made(layer, chosen).shrinkage)
    row = {"network": name, "layer": layer, "choice": str(chosen), "errors": errors}
    print(row, taken, flush=True)
    return {**row, "taken": taken}


def named(shrinkage: Shrinkage) -> str:
    """The way that these factors are made in."""
    if shrinkage.outputs is not None:
        return "two-sided"
    return "weights" if shrinkage.inputs is None else "inputs"


def _one_layer(case: Case, layer: str, chosen: Decomposition, shrinkage: Shrinkage) -> float:
    """With this layer alone replaced by factors that are made in just this way."""
    from_data = {layer: shrinkage} if shrinkage.sides else {}
    return case.error(Assembly(case.network, case.moments, from_data), {layer: chosen})


def report(log: Log) -> None:
    lines = []
    for network, kind, rank, most in WHOLE:
        for row in log.of(kind="whole", network=network, way=kind, rank=rank):
            ratio = row["errors"]["two-sided"] / row["errors"]["inputs"]
            lines.append((network, kind, rank, *(row["errors"][way] for way in WAYS), ratio, most))
    show(("network", "kind", "rank", *WAYS, "two-sided / inputs", "at most"), lines)
    for *what, ratio, most in lines:
        verdict(" ".join(map(str, (what[0], what[1], what[2]))), ratio, ratio <= most, f"{most}")
    rows = log.of(kind="one")
    lines = [
        (r["network"], r["layer"], r["choice"], *(r["errors"].get(w, "") for w in WAYS), r["taken"])
        for r in rows
    ]
    show(("network", "layer", "choice", *WAYS, "taken"), lines)
    if rows:
        ratios = [r["errors"][r["taken"]] / min(r["errors"].values()) for r in rows]
        above = sum(ratio > NEVER_WORSE for ratio in ratios)
        verdict("never worse: cases above 1.02", above, above == 0, f"0 of {len(rows)}")
        print(f"the largest is {max(ratios):.3f} of the best way")


if __name__ == "__main__":
    main()
