"""The verbs that trackers hear of, each done once on a small module and the fake device."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

Call = Callable[[Any], None]


@dataclass
class Told:
    """A tracker that hears everything, and can tell it to another one."""

    calls: list[Call] = field(default_factory=list)
    numbers: list[tuple[str, int, dict[str, float]]] = field(default_factory=list)
    documents: dict[str, Any] = field(default_factory=dict)
    verb: str = ""

    def began(self, verb: str, options: Mapping[str, Any]) -> None:
        self.verb = verb
        self.calls.append(lambda tracker: tracker.began(verb, options))

    def metrics(self, values: Mapping[str, float], step: int) -> None:
        self.numbers.append((self.verb, step, dict(values)))
        self.calls.append(lambda tracker: tracker.metrics(values, step))

    def ended(self, verb: str, result: Any) -> None:
        kept = result.model_copy(deep=True)  # verify notes its result in the plan
        self.documents[verb] = kept
        self.calls.append(lambda tracker: tracker.ended(verb, kept))

    def steps(self, verb: str, name: str) -> list[tuple[int, float]]:
        """The numbers of that name, with their steps."""
        mine = [(step, values) for one, step, values in self.numbers if one == verb]
        return [(step, values[name]) for step, values in mine if name in values]

    def tell(self, tracker: Any) -> None:
        for call in self.calls:
            call(tracker)


@pytest.fixture(scope="session")
def told(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Told]:
    """Profile, plan, verify, recover and finetune, as a tracker hears of them."""
    before = Path.cwd()
    os.chdir(tmp_path_factory.mktemp("told"))
    try:
        yield _all_verbs(Told())
    finally:
        os.chdir(before)


def _all_verbs(told: Told) -> Told:
    import torch
    from torch import nn

    import rankwise as rw

    torch.manual_seed(0)
    pooled = (nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    network = nn.Sequential(nn.Conv2d(32, 64, 3, padding=1), *pooled, nn.Linear(64, 10))
    example = torch.randn(1, 32, 8, 8)
    np.savez("p.npz", np.random.default_rng(0).normal(size=(16, 32, 8, 8)).astype("float32"))

    def train(model: nn.Module, groups: list[dict[str, Any]], callbacks: Any) -> None:
        optimizer = torch.optim.SGD(groups, lr=1e-4)
        for _ in range(3):
            loss = model(example).square().mean()
            loss.backward()
            optimizer.step()
            callbacks.step()
            callbacks.evaluated(loss)

    where = {"backend": "fake", "reporter": [told]}
    rw.profile(network, example, kinds=["spatial_svd"], **where)
    plan = rw.plan(network, example, max_error=0.95, **where)
    named = {"plan": plan, "model": network, "example_input": example, "reporter": told}
    rw.verify(**named)
    training = {"data": "p.npz", "steps": 20, "rate": 0.01}
    rw.recover(output="back.safetensors", **training, **named)
    rw.finetune(function=train, output="tuned.safetensors", **named)
    return told
