"""A small module that was profiled and planned once on the fake device, in a folder of its own."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

SMALL = """
import torch

class Small(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = torch.nn.Conv2d(32, 64, 3, padding=1)
        self.head = torch.nn.Linear(64, 10)

    def forward(self, x):
        return self.head(torch.relu(self.conv(x)).mean(dim=(2, 3)))

def small():
    torch.manual_seed(0)
    return Small().eval()
"""


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """What the examples of docstrings have: `rw`, `torch`, `network`, `example` and `plan`; their
    folder holds a store, `plan.json` and `pictures.npz`."""
    import numpy as np
    import torch

    import rankwise as rw

    folder = tmp_path_factory.mktemp("python")
    (folder / "small.py").write_text(SMALL)
    before = Path.cwd()
    os.chdir(folder)
    sys.path.insert(0, str(folder))
    try:
        import small  # type: ignore[import-not-found]

        network, example = small.small(), torch.randn(1, 32, 8, 8)
        pictures = np.random.default_rng(0).normal(size=(16, 32, 8, 8)).astype("float32")
        np.savez("pictures.npz", pictures)
        profile = rw.profile(network, example, backend="fake")
        plan = rw.plan(network, example, backend="fake", max_error=0.9, output="plan.json")
        os.chdir(before)
        given = {"rw": rw, "torch": torch, "network": network, "example": example}
        yield {**given, "plan": plan, "profile": profile, "folder": folder}
    finally:
        os.chdir(before)
        sys.path.remove(str(folder))


@pytest.fixture
def there(made: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The same, and its folder is the working directory."""
    monkeypatch.chdir(made["folder"])
    return made
