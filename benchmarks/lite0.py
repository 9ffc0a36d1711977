"""EfficientNet-lite0 with its released weights: 1x1 and depthwise convolutions, 1,000 classes.

    rankwise layers lite0:network           # with benchmarks/ and examples/ on PYTHONPATH

The network is that of the package `efficientnet-lite-pytorch` (Tan and Le 2019; lite: no
squeeze-and-excitation, ReLU6). Paddings are TensorFlow's: what is odd goes to the end.
"""

from __future__ import annotations

import torch
from assets import fetch
from torch import Tensor, nn

STAGES = (
    (1, 3, 1, 1, 16),
    (2, 3, 2, 6, 24),
    (2, 5, 2, 6, 40),
    (3, 3, 2, 6, 80),
    (3, 5, 1, 6, 112),
    (4, 5, 2, 6, 192),
    (1, 3, 1, 6, 320),
)
"""Blocks, kernel size, stride of the first block, expansion, output channels."""
STEM, HEAD, CLASSES = 32, 1280, 1000
EPSILON = 1e-3


class Block(nn.Module):
    """Expand, filter each channel, project; with a shortcut where shapes allow it."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        wide = expansion * inputs
        parts = [] if expansion == 1 else _unit(inputs, wide, 1)
        parts += [*_unit(wide, wide, kernel, stride, groups=wide), *_unit(wide, outputs, 1)[:-1]]
        self.parts = nn.Sequential(*parts)
        self.shortcut = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.parts(x)
        return x + y if self.shortcut else y


def _unit(
    inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1
) -> list[nn.Module]:
    """Padding, convolution, normalisation, ReLU6."""
    whole = max(kernel - stride, 0)
    before, after = whole // 2, whole - whole // 2
    convolution = nn.Conv2d(inputs, outputs, kernel, stride, groups=groups, bias=False)
    pad = [nn.ZeroPad2d((before, after, before, after))] if whole else []
    return [*pad, convolution, nn.BatchNorm2d(outputs, EPSILON), nn.ReLU6()]


class Lite0(nn.Module):
    """(N, 3, 224, 224) -> logits."""

    input_shape = (1, 3, 224, 224)

    def __init__(self) -> None:
        super().__init__()
        parts, width = _unit(3, STEM, 3, 2), STEM
        for blocks, kernel, stride, expansion, outputs in STAGES:
            for number in range(blocks):
                first = stride if number == 0 else 1
                parts.append(Block(width, outputs, kernel, first, expansion))
                width = outputs
        self.features = nn.Sequential(*parts, *_unit(width, HEAD, 1))
        self.classifier = nn.Linear(HEAD, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.classifier(self.features(x).mean((2, 3)))
        return logits


def network() -> Lite0:
    """Both sides list the same tensors in the same order, under names of their own."""
    module = Lite0()
    released = torch.load(fetch("efficientnet-lite0.pth"), map_location="cpu", weights_only=True)
    names = zip(module.state_dict(), released.values(), strict=True)
    module.load_state_dict(dict(names))
    return module.eval()
