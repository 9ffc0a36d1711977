"""A detector of 83 convolutions with two outputs, boxes and scores, at 320 x 320.

    rankwise layers detector:network        # with benchmarks/ on PYTHONPATH

In the manner of YOLO: a backbone of five stages, features of three sizes joined up and down, a head
for each size. Its weights are drawn, the same everywhere, with singular values that fall off as
those of trained layers do, so that there is something to decompose.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

WIDTHS = (32, 64, 128, 256, 512)
"""Channels of the five stages, each of half the size of the one before."""
BLOCKS = (3, 5, 5, 4)
"""Residual blocks of all stages but the first."""
NECK, NECK_BLOCKS = 128, 2
CLASSES, PIXELS = 80, 16
GAIN = 1.35
"""Sum of the squared weights of each output: near enough to 1 for nothing to vanish or explode."""
DECAY = 0.7
"""The n-th singular value of a weight is in proportion to n to the minus this."""


def unit(inputs: int, outputs: int, kernel: int = 3, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2), nn.SiLU(inplace=True)
    )


class Block(nn.Module):
    """A bottleneck of half the channels (two convolutions) with a shortcut."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.parts = nn.Sequential(unit(width, width // 2, 1), unit(width // 2, width))

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = x + self.parts(x)
        return result


class Head(nn.Module):
    """Two branches of two convolutions and an output each."""

    def __init__(self, width: int, outputs: int) -> None:
        super().__init__()
        self.boxes = nn.Sequential(unit(width, 64), unit(64, 64), nn.Conv2d(64, 4, 1))
        self.scores = nn.Sequential(unit(width, 80), unit(80, 80), nn.Conv2d(80, outputs, 1))


class Detector(nn.Module):
    """(N, 3, 320, 320) -> boxes (N, 4, cells) in pixels, scores (N, classes, cells)."""

    input_shape = (1, 3, 320, 320)

    def __init__(self) -> None:
        super().__init__()
        self.stem = unit(3, WIDTHS[0], 3, 2)
        pairs = zip(WIDTHS[:-1], WIDTHS[1:], BLOCKS, strict=True)
        self.stages = nn.ModuleList(
            nn.Sequential(unit(before, after, 3, 2), *(Block(after) for _ in range(count)))
            for before, after, count in pairs
        )
        self.top = unit(WIDTHS[-1], WIDTHS[-1], 1)
        self.lateral = nn.ModuleList(unit(width, NECK, 1) for width in WIDTHS[2:])
        self.joined = nn.ModuleList(_joined() for _ in range(4))
        self.down = nn.ModuleList(unit(NECK, NECK, 3, 2) for _ in range(2))
        self.heads = nn.ModuleList(Head(NECK, CLASSES) for _ in range(3))

    def forward(self, pictures: Tensor) -> dict[str, Tensor]:
        x, features = self.stem(pictures), []
        for stage in self.stages:
            x = stage(x)
            features.append(x)
        features[-1] = self.top(x)
        small, middle, large = (part(x) for part, x in zip(self.lateral, features[1:], strict=True))
        middle = self.joined[0](torch.cat([middle, F.interpolate(large, scale_factor=2.0)], 1))
        small = self.joined[1](torch.cat([small, F.interpolate(middle, scale_factor=2.0)], 1))
        middle = self.joined[2](torch.cat([self.down[0](small), middle], 1))
        large = self.joined[3](torch.cat([self.down[1](middle), large], 1))
        levels = list(zip(self.heads, (small, middle, large), strict=True))
        boxes = [PIXELS * head.boxes(x).flatten(2) for head, x in levels]
        scores = [head.scores(x).flatten(2) for head, x in levels]
        return {"boxes": torch.cat(boxes, 2), "scores": torch.cat(scores, 2)}


def _joined() -> nn.Sequential:
    return nn.Sequential(unit(2 * NECK, NECK, 1), *(Block(NECK) for _ in range(NECK_BLOCKS)))


@torch.no_grad()
def network() -> Detector:
    module, rng = Detector(), np.random.default_rng(0)
    for part in module.modules():
        if isinstance(part, nn.Conv2d):
            part.weight.copy_(torch.from_numpy(falling(part.weight.shape, rng)))
            assert part.bias is not None
            part.bias.copy_(torch.from_numpy(rng.normal(0, 0.1, len(part.bias))))
    return module.eval()


def falling(shape: torch.Size, rng: np.random.Generator) -> np.ndarray:
    """A weight of which the singular values fall off by `DECAY`, each output of about unit gain."""
    drawn = rng.standard_normal((shape[0], int(np.prod(shape[1:]))))
    left, values, right = np.linalg.svd(drawn, full_matrices=False)
    values = np.arange(1, len(values) + 1) ** -DECAY
    matrix = left * values @ right
    return (matrix * np.sqrt(GAIN * shape[0] / np.square(values).sum())).reshape(shape)
