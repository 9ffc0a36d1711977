"""Small networks whose decomposition loses something, and plans written by hand."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from rankwise import documents
from rankwise.lowrank import factor, lower
from rankwise.models.network import Network, Replacements
from rankwise.models.torch_network import TorchNetwork
from rankwise.records import Decomposition


class Teacher(nn.Module):
    """Two convolutions with batch normalisation and in-place ReLU, and a linear layer."""

    input_shape = (1, 3, 12, 12)

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, padding=1)
        self.bn = nn.BatchNorm2d(8)
        self.body = nn.Sequential(nn.Conv2d(8, 8, 3, padding=1), nn.ReLU(inplace=True))
        self.fc = nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        x = self.bn(self.stem(x)).relu_()
        return self.fc(self.body(x).mean((2, 3)))


def teacher() -> Teacher:
    with torch.random.fork_rng():
        torch.manual_seed(3)
        return Teacher().eval()


RANKS = {
    "stem": Decomposition("channel_svd", (3,)),
    "body.0": Decomposition("channel_svd", (3,)),
    "fc": Decomposition("svd", (2,)),
}
"""What is lost at these ranks can be won back in part."""


@pytest.fixture
def ranks() -> dict[str, Decomposition]:
    return dict(RANKS)


@pytest.fixture
def replacements() -> Callable[..., Replacements]:
    """Chains at the given ranks, with factors from the network's own weights."""

    def make(network: Network, decisions: Mapping[str, Decomposition]) -> Replacements:
        specs = {use.name: use.spec for use in network.layers}
        return {
            name: (lower(specs[name], d), factor(specs[name], d, *network.weights(name)))
            for name, d in decisions.items()
        }

    return make


@pytest.fixture
def network() -> TorchNetwork:
    return TorchNetwork.of(teacher(), "teacher", Teacher.input_shape)


@pytest.fixture
def rows() -> np.ndarray:
    """Smooth pictures as ready tensors (n, 3, 12, 12)."""
    coarse = np.random.default_rng(0).standard_normal((24, 3, 3, 3)).astype(np.float32)
    return coarse.repeat(4, axis=2).repeat(4, axis=3)


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    folder.mkdir()
    rng = np.random.default_rng(0)
    for number in range(9):
        coarse = rng.integers(0, 255, (4, 4, 3), dtype=np.uint8)
        Image.fromarray(coarse).resize((20, 16)).save(folder / f"{number}.png")
    return folder


PlanMaker = Callable[..., documents.Plan]


NOT_TIMED = dict.fromkeys(
    ("original_latency_s", "predicted_latency_s", "speedup", "speedup_low", "speedup_high")
)


@pytest.fixture
def make_plan() -> PlanMaker:
    """A plan with these decisions, as if it had been searched for; factors from weights."""

    def make(network: Network, decisions: Mapping[str, Decomposition]) -> documents.Plan:
        device = documents.Fingerprint(
            backend="fake", hardware_key="h", software_key="s", hardware={}, software={}
        )
        layers = [
            documents.PlannedLayer(
                name=use.name,
                op=use.op,
                spec=use.spec.to_json() if use.spec else None,
                decomposition=documents.Decomposition.of(decisions.get(use.name, Decomposition())),
                rank_quantum=None,
                factors="weights" if use.name in decisions else None,
                verdict=None,
                layer_error=None,
                reason="",
                measurement_ids=[],
                **NOT_TIMED,
            )
            for use in network.layers
        ]
        return documents.Plan(
            rankwise_version="0",
            created_at="2026-01-01T00:00:00+00:00",
            model=documents.Model(
                source=network.source, sha256=network.sha256, input_shape=network.input_shape
            ),
            device=device,
            policies=[{"threads": 1}],
            objective={},
            mode="vanilla",
            rank_selection="search",
            calibration=None,
            layers=layers,
            predicted=documents.Predicted(
                latency_s=None,
                speedup=None,
                speedup_low=None,
                speedup_high=None,
                network_error=None,
                model_error=None,
            ),
            search=documents.Search(sampler="none", trials=0, exact_speedup=None, gap=None, seed=0),
        )

    return make
