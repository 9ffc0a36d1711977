"""A small zoo: networks in torchvision's layout with random weights until a checkpoint loads.

Random weights come from NumPy with a fixed seed, so that a network has the same hash in every
process and with every version of torch. They are good for timing, not for accuracy.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from torch import nn

from .mobilenet import MobileNetV2
from .resnet import BasicBlock, Bottleneck, ResNet
from .vgg import VGG

ZOO: dict[str, Callable[[], nn.Module]] = {
    "mobilenet_v2": MobileNetV2,
    "resnet18": partial(ResNet, BasicBlock, (2, 2, 2, 2)),
    "resnet34": partial(ResNet, BasicBlock, (3, 4, 6, 3)),
    "resnet50": partial(ResNet, Bottleneck, (3, 4, 6, 3)),
    "resnet101": partial(ResNet, Bottleneck, (3, 4, 23, 3)),
    "resnet152": partial(ResNet, Bottleneck, (3, 8, 36, 3)),
    "vgg16": partial(VGG, norm=False),
    "vgg16_bn": partial(VGG, norm=True),
}
INPUT_SHAPE = (1, 3, 224, 224)
SEED = 0


def build(name: str) -> nn.Module:
    """Return the named network in eval mode with deterministic random weights."""
    with torch.device("meta"):
        module = ZOO[name]()
    module.to_empty(device="cpu")
    rng = np.random.default_rng(SEED)
    for part in module.modules():
        _initialise(part, rng)
    return module.eval()


@torch.no_grad()
def _initialise(part: nn.Module, rng: np.random.Generator) -> None:
    """Convolutions: Kaiming normal by fan-out; linear: normal, 0.01; norms: identity."""
    if isinstance(part, nn.Conv2d):
        fan_out = part.weight[:, 0].numel() // part.groups
        _fill(part.weight, (2 / fan_out) ** 0.5, rng)
        if part.bias is not None:
            part.bias.zero_()
    elif isinstance(part, nn.Linear):
        _fill(part.weight, 0.01, rng)
        part.bias.zero_()
    elif isinstance(part, nn.BatchNorm2d):
        part.reset_parameters()


def _fill(weight: torch.Tensor, deviation: float, rng: np.random.Generator) -> None:
    values = weight.numpy()  # the same memory
    rng.standard_normal(dtype=np.float32, out=values)
    values *= np.float32(deviation)
