"""Training steps timed in processes of their own, and plans for the training phase."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from rankwise import documents
from rankwise.backends.fake import FakeBackend
from rankwise.backends.torch_cpu import TorchCpuBackend
from rankwise.backends.torch_cuda import TorchCudaBackend
from rankwise.campaign.setup import Setup
from rankwise.db.store import Store
from rankwise.errors import MeasurementError
from rankwise.models.source import load_network
from rankwise.network_timing.training_runs import (
    Variant,
    _request,
    can_train,
    compare_training,
    timed_rounds,
)
from rankwise.records import Decomposition, MeasurementPolicy

SOURCE = """
from torch import nn

class Net(nn.Module):
    input_shape = (2, 3, 8, 8)
    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 16, 3, padding=1)
        self.bn = nn.BatchNorm2d(16)
        self.fc = nn.Linear(16, 5)
    def forward(self, x):
        return self.fc(self.bn(self.stem(x)).relu_().mean((2, 3)))

def broken():
    raise RuntimeError("not here")
"""
SVD = {"stem": Decomposition("channel_svd", (4,))}


class Trains(TorchCpuBackend):
    """Stands in where the backend itself refuses the training phase."""

    def resolve_policy(self, policy: MeasurementPolicy) -> MeasurementPolicy:
        return policy


@pytest.fixture
def setup(tmp_path: Path) -> Setup:
    (tmp_path / "net_to_train.py").write_text(SOURCE)
    network = load_network("net_to_train:Net")
    policy = MeasurementPolicy(phase="training", batch=2)
    return Setup(network, Trains(), "torch-cpu", policy)


@pytest.mark.slow
def test_every_process_gives_its_pairs_and_all_are_kept(setup: Setup, tmp_path: Path) -> None:
    assert can_train(setup) == ""
    variants = {"plain": Variant(SVD), "frozen": Variant(SVD, frozen=0)}
    with Store.open(f"sqlite:///{tmp_path}/store.db") as store:
        found = compare_training(setup, store, variants, {}, processes=2, rounds=4)
        assert store.check() == []
    assert set(found) == set(variants)
    for comparison in found.values():
        assert comparison.sessions == 2
        assert comparison.rounds == 8
        assert comparison.speedup_low <= comparison.speedup <= comparison.speedup_high
        assert comparison.latency_s > 0


def test_a_backend_says_itself_where_networks_train(setup: Setup) -> None:
    """Whatever it is called: a name tells nothing."""
    assert can_train(replace(setup, backend=FakeBackend())) == "fake cannot train a network whole"
    foreign = TorchCudaBackend(device="1")
    foreign.name = "their-own"
    asked = replace(setup, backend=foreign)
    assert can_train(asked) == ""
    assert _request(asked, {}, rounds=1, seed=0)["device"] == "cuda:1"
    assert _request(setup, {}, rounds=1, seed=0)["device"] == "cpu"


@pytest.mark.usefixtures("setup")
def test_what_a_process_cannot_do_is_said() -> None:
    request = {
        "source": "net_to_train:broken",
        "weights": None,
        "inputs": {"input_shape": [1, 3, 8, 8]},
        "threads": 1,
        "device": "cpu",
        "dtype": "float32",
        "rounds": 1,
        "seed": 0,
        "variants": {},
    }
    with pytest.raises(MeasurementError, match="not here"):
        list(timed_rounds(request))


def plan_words(network_file: Path, output: Path, *more: object) -> list[object]:
    words = ["plan", network_file, "--backend", "fake:step=16", "--max-error", 0.3]
    return [*words, "--trials", 5, "-o", output, *more]


@pytest.fixture
def fake_trains(monkeypatch: pytest.MonkeyPatch) -> None:
    from rankwise.backends import fake

    allowed = {**fake.ALLOWED, "phase": ("inference", "training")}
    monkeypatch.setattr(fake, "ALLOWED", allowed)


@pytest.mark.usefixtures("fake_trains")
def test_plans_of_the_phases_rest_on_their_own_rows(
    rankwise, network_file: Path, tmp_path: Path
) -> None:
    profile = ["profile", network_file, "--backend", "fake:step=16", "--json"]
    inference = json.loads(rankwise(*profile).stdout)
    assert inference["complete"]
    refused = rankwise(*plan_words(network_file, tmp_path / "t.json", "--phase", "training"))
    assert refused.exit_code == 2
    assert "--phase training" in refused.output
    trained = json.loads(rankwise(*profile, "--phase", "training").stdout)
    assert trained["measured"] == inference["measured"]
    assert not trained["already_measured"]

    plans = {}
    for phase in ("inference", "training", "both"):
        path = tmp_path / f"{phase}.json"
        result = rankwise(*plan_words(network_file, path, "--phase", phase, "--no-refine"))
        assert result.exit_code == 0, result.output
        plans[phase] = documents.Plan.model_validate_json(path.read_text())
    phases = {name: [policy["phase"] for policy in p.policies] for name, p in plans.items()}
    assert phases == {
        "inference": ["inference"],
        "training": ["training"],
        "both": ["inference", "training"],
    }
    ids = {name: _ids(plan) for name, plan in plans.items()}
    assert ids["inference"]
    assert not ids["inference"] & ids["training"]
    assert ids["both"] & ids["inference"]
    assert ids["both"] & ids["training"]
    assert plans["both"].objective["training_weight"] == 0.5


def _ids(plan: documents.Plan) -> set[str]:
    return {one for layer in plan.layers for one in layer.measurement_ids}


def test_a_weight_has_to_weigh_both(rankwise, network_file: Path, tmp_path: Path) -> None:
    words = plan_words(network_file, tmp_path / "p", "--phase", "both", "--training-weight", 1.0)
    result = rankwise(*words)
    assert result.exit_code == 2
    assert "--training-weight" in result.output
