"""A small real network and pictures, for stories told on the fake backend."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image


class Small(torch.nn.Module):
    """Wide enough for ranks on a grid of 16; low-rank enough that some are nearly free."""

    input_shape = (1, 3, 16, 16)

    def __init__(self) -> None:
        super().__init__()
        self.stem = torch.nn.Conv2d(3, 64, 3, padding=1)
        self.body = torch.nn.Conv2d(64, 96, 3, padding=1)
        self.point = torch.nn.Conv2d(96, 128, 1)
        self.head = torch.nn.Linear(128, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.stem(x))
        x = torch.relu(self.body(x))
        x = torch.relu(self.point(x))
        return self.head(x.mean(dim=(2, 3)))


def small_network(seed: int = 0) -> Small:
    torch.manual_seed(seed)
    net = Small().eval()
    with torch.no_grad():
        for layer in (net.body, net.point):  # spectra that fall, as trained ones do
            rows = layer.weight.reshape(layer.out_channels, -1)
            u, s, v = torch.linalg.svd(rows, full_matrices=False)
            falling = s * torch.exp(-torch.arange(len(s)) / 8.0)
            layer.weight.copy_((u * falling @ v).reshape(layer.weight.shape) * 4)
    return net


def write_onnx(net: torch.nn.Module, path: Path) -> Path:
    torch.onnx.export(net, (torch.zeros(1, 3, 16, 16),), str(path), dynamo=True, verbose=False)
    return path


def write_pictures(folder: Path) -> Path:
    rng = np.random.default_rng(0)
    for number in range(8):
        coarse = rng.integers(0, 255, (6, 6, 3), dtype=np.uint8)
        Image.fromarray(coarse).resize((48, 48)).save(folder / f"{number}.png")
    return folder
