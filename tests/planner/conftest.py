"""What tests of the planner share: a small module that was profiled once, and problems of it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import rankwise as rw
from rankwise.campaign.setup import make_setup
from rankwise.db.store import Store
from rankwise.models.network import Network
from rankwise.models.pictures import Calibration, load_calibration
from rankwise.models.source import network_of_module
from rankwise.planner.candidate_policy import candidate_policy
from rankwise.planner.objective import Objective, PlanningOptions
from rankwise.planner.problem import PlanProblem, make_problem

FAKE = "fake:step=8"
SHAPE = (1, 3, 12, 12)
PICTURES = 24


@dataclass
class Told:
    """A reporter that remembers what it was told."""

    messages: list[str] = field(default_factory=list)

    def message(self, text: str) -> None:
        self.messages.append(text)

    def progress(self, *_: object) -> None:
        return None

    def metrics(self, *_: object) -> None:
        return None


def small_module() -> nn.Module:
    """Convolutions whose spectra fall, as those of trained ones do."""
    torch.manual_seed(0)
    net = nn.Sequential()
    net.add_module("stem", nn.Conv2d(3, 32, 3, padding=1))
    net.add_module("relu1", nn.ReLU())
    net.add_module("body", nn.Conv2d(32, 48, 3, padding=1))
    net.add_module("relu2", nn.ReLU())
    net.add_module("point", nn.Conv2d(48, 64, 1))
    net.add_module("relu3", nn.ReLU())
    net.add_module("last", nn.Conv2d(64, 32, 3, padding=1))
    with torch.no_grad():
        for layer in (net.body, net.point, net.last):
            rows = layer.weight.reshape(layer.out_channels, -1)
            u, s, v = torch.linalg.svd(rows, full_matrices=False)
            falling = s * torch.exp(-torch.arange(len(s)) / 8.0)
            layer.weight.copy_((u * falling @ v).reshape(layer.weight.shape) * 4)
    return net.eval()


def smooth(pictures: int, seed: int = 0) -> np.ndarray:
    """Smooth pictures as tensors (pictures, 3, 12, 12)."""
    coarse = np.random.default_rng(seed).normal(size=(pictures, 3, 4, 4)).astype(np.float32)
    return np.kron(coarse, np.ones((3, 3), np.float32))


@pytest.fixture(scope="session")
def network() -> Network:
    return network_of_module(small_module(), SHAPE)


@pytest.fixture(scope="session")
def _profiled(network: Network, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the store and the cache that a first plan left: tests that want something
    found anew take other pictures."""
    folder = tmp_path_factory.mktemp("profiled")
    db = f"sqlite:///{folder}/store.db"
    rw.profile(network, backend=FAKE, db=db)
    np.savez(folder / "rows.npz", smooth(PICTURES))
    rw.plan(network, backend=FAKE, db=db, calibration=folder / "rows.npz", max_error=0.3)
    return folder


@pytest.fixture
def db(_profiled: Path, tmp_path: Path) -> str:
    """A store of the test's own, in which the network's layers are measured."""
    shutil.copytree(_profiled, tmp_path, dirs_exist_ok=True)
    return f"sqlite:///{tmp_path}/store.db"


@pytest.fixture
def rows_of(tmp_path: Path) -> Callable[[int], Path]:
    """A file with so many pictures as ready tensors."""

    def write(pictures: int) -> Path:
        path = tmp_path / f"rows{pictures}.npz"
        np.savez(path, smooth(pictures))
        return path

    return write


@pytest.fixture
def calibration(rows_of: Callable[[int], Path]) -> Calibration:
    return load_calibration(rows_of(PICTURES), None, SHAPE)


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def problem_of(
    network: Network, db: str, calibration: Calibration, told: Told
) -> Iterator[Callable[..., PlanProblem]]:
    """Problems of the network in the test's store, `calibration` and options as they are given;
    whole networks are timed only where `refine` is."""
    with Store.open(db, create=False) as store:

        def make(
            max_error: float | None = 0.3, *, pictures: Any = calibration, **given: Any
        ) -> PlanProblem:
            asked = {"trials": 0, "sampler": "tpe", "refine": False, "seed": 0, **given}
            options = PlanningOptions(db=db, candidate_policy=candidate_policy(), **asked)
            setup = make_setup(network, backend=FAKE)
            objective = Objective(max_error=max_error)
            return make_problem(setup, store, objective, options, pictures, told)

        yield make
