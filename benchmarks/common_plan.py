"""One plan for three planted devices: its least gain, and that of each device's best plan.

    python benchmarks/common_plan.py
    python benchmarks/common_plan.py --network resnet18 --input-shape 1,3,64,64

Devices are fake ones: on one launches cost most, on one arithmetic, on one a staircase of 32
channels. A gain is the share of the network's time, summed over its layers, that a plan saves on a
device; errors are those that the planner models, equal for all. Where there are at most a million
plans, all of them are tried, too.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Sequence
from itertools import product
from tempfile import TemporaryDirectory

import numpy as np

import rankwise as rw
from rankwise.campaign.setup import wanted_policy
from rankwise.campaign.stored_devices import setups_of
from rankwise.db.store import Store
from rankwise.models.network import Network
from rankwise.models.source import load_network, network_of_module
from rankwise.planner.candidate_policy import candidate_policy
from rankwise.planner.objective import Objective, PlanningOptions
from rankwise.planner.problem import choices, make_problems
from rankwise.planner.several_devices import common_layers, common_solver
from rankwise.reporter import Silent
from rankwise.search.common import CommonSolver
from rankwise.search.exact import SolverLimits, most_error_sq, solve
from rankwise.search.space import Assignment, LayerChoices

DEVICES = {
    "launches": "fake:step=8,launch_us=20,gmacs=20",
    "arithmetic": "fake:step=8,launch_us=1,gmacs=5",
    "steps of 32": "fake:step=32,launch_us=5,gmacs=20",
}
ASKED = wanted_policy("inference", "isolated", 1, "float32", "eager", "default")
LIMITS = (0.02, 0.1, 0.3)
"""Squared errors, as shares of the largest that there is."""
FEW = 1_000_000
KINDS = ("spatial_svd", "channel_svd")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--network", default="", help="by its source; else a small one")
    parser.add_argument("--input-shape", default="1,3,64,64")
    options = parser.parse_args()
    shape = tuple(map(int, options.input_shape.split(",")))
    network = load_network(options.network, input_shape=shape) if options.network else small()
    with TemporaryDirectory() as folder:
        db = f"sqlite:///{folder}/store.db"
        for backend in DEVICES.values():
            rw.profile(network, backend=backend, db=db, kinds=KINDS, rank_quantum=8)
        own, layers, solver = gathered(network, db)
    print(f"{len(layers)} layers, {math.prod(len(one.choices) for one in layers):.3g} plans")
    for share in LIMITS:
        report(own, layers, solver, share * most_error_sq(layers))


def small() -> Network:
    """Three convolutions of different shape whose spectra fall, as trained ones' do."""
    import torch
    from torch import nn

    torch.manual_seed(0)
    convolutions = [nn.Conv2d(3, 32, 3, padding=1), nn.Conv2d(32, 64, 3, padding=1)]
    convolutions += [nn.Conv2d(64, 64, 3, padding=1), nn.Conv2d(64, 96, 1)]
    with torch.no_grad():
        for layer in convolutions[1:]:
            rows = layer.weight.reshape(layer.out_channels, -1)
            u, s, v = torch.linalg.svd(rows, full_matrices=False)
            falling = s * torch.exp(-torch.arange(len(s)) / 8.0)
            layer.weight.copy_((u * falling @ v).reshape(layer.weight.shape) * 4)
    parts = [part for layer in convolutions for part in (layer, nn.ReLU())]
    return network_of_module(nn.Sequential(*parts).eval(), (1, 3, 16, 16))


def gathered(
    network: Network, db: str
) -> tuple[list[list[LayerChoices]], list[LayerChoices], CommonSolver]:
    """Each device's own choices, those that all have, and the solver for all."""
    planning = PlanningOptions(db, 0, "tpe", False, 0, candidate_policy())
    with Store.open(db) as store:
        setups = setups_of(["fake"], store, network, ASKED)
        problems = make_problems(setups, store, Objective(max_error=0.3), planning, None, Silent())
        own = [choices(problem) for problem in problems]
        layers = common_layers(own)
        return own, layers[0], common_solver(problems, own, layers)


def report(
    own: Sequence[Sequence[LayerChoices]],
    layers: Sequence[LayerChoices],
    solver: CommonSolver,
    limit: float,
) -> None:
    limits = SolverLimits(limit)
    began = time.perf_counter()
    common = solver.solve(layers, limits)
    took = time.perf_counter() - began
    print(f"\nsquared error at most {limit:.3g}; solved in {took:.2f} s, gap {common.gap:.1e}")
    print(f"{'best plan for':20}{''.join(f'{name:>14}' for name in DEVICES)}{'least':>14}")
    for name, choices_there in zip(DEVICES, own, strict=True):
        row(name, solver.gains(solve(choices_there, limits)))
    row("all three", solver.gains(common))
    count = math.prod(len(one.choices) for one in layers)
    if count <= FEW:
        row(f"all, by {count} plans", solver.gains(by_force(layers, solver, limit)))


def row(name: str, gains: Sequence[float]) -> None:
    print(f"{name:20}{''.join(f'{gain:14.2%}' for gain in gains)}{min(gains):14.2%}")


def by_force(layers: Sequence[LayerChoices], solver: CommonSolver, limit: float) -> Assignment:
    """The plan with the largest least gain, of all that keep the limit."""
    errors = _sums([[choice.error_sq for choice in one.choices] for one in layers])
    gains = [
        _sums([[device.share(one.name, choice) for choice in one.choices] for one in layers])
        for device in solver.devices
    ]
    least = np.where(errors <= limit, np.min(gains, axis=0), -np.inf)
    number = int(np.argmax(least))
    picks = list(product(*(range(len(one.choices)) for one in layers)))[number]
    chosen = tuple(one.choices[pick] for one, pick in zip(layers, picks, strict=True))
    return Assignment(tuple(one.name for one in layers), chosen)


def _sums(columns: Sequence[Sequence[float]]) -> np.ndarray:
    """The sum of every plan, the last layer's choice changing fastest."""
    total = np.zeros(1)
    for column in columns:
        total = np.add.outer(total, np.asarray(column)).ravel()
    return total


if __name__ == "__main__":
    main()
