"""Fashion-MNIST, a residual network for it, and training that can be stopped after any epoch.

rankwise layers fashion:network --input-shape 1,1,28,28     # with benchmarks/ on PYTHONPATH
"""

from __future__ import annotations

import gzip
import math
import os
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from rankwise.training import checkpoint

DEBIAN = Path("/usr/share/datasets/fashion-mnist")
MEAN, DEVIATION = 0.2860, 0.3530
CLASSES = 10
TEST_BATCH = 500


class Block(nn.Module):
    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or inputs != outputs:
            convolution = nn.Conv2d(inputs, outputs, 1, stride, bias=False)
            self.shortcut = nn.Sequential(convolution, nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        y = torch.relu(self.bn1(self.conv1(x)))
        return torch.relu(self.bn2(self.conv2(y)) + self.shortcut(x))


class ResNet(nn.Module):
    """6 * blocks + 2 layers in three stages (He et al. 2015, section 4.2), wider than there."""

    input_shape = (1, 1, 28, 28)

    def __init__(self, blocks: int = 3, widths: tuple[int, ...] = (32, 64, 128)) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, widths[0], 3, padding=1, bias=False)
        self.bn = nn.BatchNorm2d(widths[0])
        layers, inputs = [], widths[0]
        for stage, width in enumerate(widths):
            for number in range(blocks):
                layers.append(Block(inputs, width, 2 if stage and not number else 1))
                inputs = width
        self.layers = nn.Sequential(*layers)
        self.fc = nn.Linear(inputs, CLASSES)

    def forward(self, x: Tensor) -> Tensor:
        x = self.layers(torch.relu(self.bn(self.conv(x))))
        logits: Tensor = self.fc(x.mean((2, 3)))
        return logits


def network() -> ResNet:
    """Its size is read from the environment, so that processes that load it by name agree."""
    blocks = int(os.environ.get("FASHION_BLOCKS", "3"))
    widths = tuple(map(int, os.environ.get("FASHION_WIDTHS", "32,64,128").split(",")))
    return ResNet(blocks, widths)


@dataclass(frozen=True, slots=True, eq=False)
class Data:
    """Images (n, 1, 28, 28) in float32, normalised, and labels (n,)."""

    images: Tensor
    labels: Tensor
    test_images: Tensor
    test_labels: Tensor


def load(folder: Path, images: int | None = None, tests: int | None = None) -> Data:
    """From IDX files, packed with gzip or not. The first `images` of them, if given."""
    return Data(
        _pictures(folder, "train-images-idx3-ubyte", images),
        _labels(folder, "train-labels-idx1-ubyte", images),
        _pictures(folder, "t10k-images-idx3-ubyte", tests),
        _labels(folder, "t10k-labels-idx1-ubyte", tests),
    )


def _idx(folder: Path, name: str) -> np.ndarray:
    for path in (folder / f"{name}.gz", folder / name, folder / name.replace("-idx", ".idx")):
        if path.exists():
            data = path.read_bytes()
            data = gzip.decompress(data) if path.suffix == ".gz" else data
            axes = data[3]
            shape = struct.unpack(f">{axes}I", data[4 : 4 + 4 * axes])
            return np.frombuffer(data, np.uint8, offset=4 + 4 * axes).reshape(shape)
    raise SystemExit(
        f"there is no {name} in {folder}: install Debian's dataset-fashion-mnist, or say "
        "--data FOLDER"
    )


def _pictures(folder: Path, name: str, count: int | None) -> Tensor:
    pixels = _idx(folder, name)[:count].astype(np.float32) / 255
    return torch.from_numpy((pixels - MEAN) / DEVIATION)[:, None]


def _labels(folder: Path, name: str, count: int | None) -> Tensor:
    return torch.from_numpy(_idx(folder, name)[:count].astype(np.int64))


@dataclass(frozen=True, slots=True)
class Recipe:
    """SGD with momentum; the rate falls by half a cosine from `rate`, over `span` epochs of which
    `epochs` are done."""

    epochs: int
    span: int
    rate: float
    batch: int = 128
    decay: float = 5e-4
    seed: int = 0
    device: str = "cpu"
    bfloat16: bool = False


def augmented(images: Tensor, generator: torch.Generator) -> Tensor:
    """Shifted by up to two pixels, mirrored half the time."""
    rows, columns = torch.randint(0, 5, (2, len(images)), generator=generator)
    mirrored = torch.randint(0, 2, (len(images),), generator=generator).bool()
    padded = F.pad(images, (2, 2, 2, 2), value=-MEAN / DEVIATION)
    parts = padded.unfold(2, 28, 1).unfold(3, 28, 1)
    made = parts[torch.arange(len(images)), :, rows, columns]
    return torch.where(mirrored[:, None, None, None], made.flip(3), made)


def train(
    model: nn.Module, data: Data, recipe: Recipe, place: Path, go_on: Callable[[], bool]
) -> bool:
    """Train to the end of `recipe.epochs`, going on from `place`, which is written after each
    epoch. False if `go_on` was false first."""
    # On a processor a training step is a fifth faster with channels last.
    model.to(recipe.device, memory_format=torch.channels_last).train()
    optimizer = torch.optim.SGD(
        model.parameters(), recipe.rate, momentum=0.9, nesterov=True, weight_decay=recipe.decay
    )
    done = _restore(model, optimizer, place)
    for epoch in range(done, recipe.epochs):
        if not go_on():
            return False
        _epoch(model, optimizer, data, recipe, epoch)
        tensors = {
            **checkpoint.pack("model", model.state_dict()),
            **checkpoint.pack("optimizer", checkpoint.optimizer_tensors(optimizer)),
        }
        checkpoint.write(place, tensors, {"epochs": epoch + 1})
    return True


def _restore(model: nn.Module, optimizer: torch.optim.Optimizer, place: Path) -> int:
    if not place.exists():
        return 0
    tensors, notes = checkpoint.read(place)
    model.load_state_dict(checkpoint.unpack("model", tensors))
    checkpoint.restore_optimizer(optimizer, checkpoint.unpack("optimizer", tensors))
    return int(notes["epochs"])


def _epoch(
    model: nn.Module, optimizer: torch.optim.Optimizer, data: Data, recipe: Recipe, epoch: int
) -> None:
    """Order and augmentation follow from seed and epoch alone."""
    generator = torch.Generator().manual_seed(1000 * recipe.seed + epoch)
    order = torch.randperm(len(data.images), generator=generator)
    steps = len(order) // recipe.batch or 1
    for step in range(steps):
        share = (epoch + step / steps) / recipe.span
        for group in optimizer.param_groups:
            group["lr"] = recipe.rate * (1 + math.cos(math.pi * share)) / 2
        chosen = order[step * recipe.batch : (step + 1) * recipe.batch]
        images = augmented(data.images[chosen], generator).to(
            recipe.device, memory_format=torch.channels_last
        )
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast(recipe.device, torch.bfloat16, enabled=recipe.bfloat16):
            loss = F.cross_entropy(model(images), data.labels[chosen].to(recipe.device))
        loss.backward()
        optimizer.step()


def accuracy(model: nn.Module, data: Data, device: str = "cpu") -> float:
    """On the test images, in percent."""
    model.to(device).eval()
    right = 0
    with torch.inference_mode():
        for start in range(0, len(data.test_images), TEST_BATCH):
            part = slice(start, start + TEST_BATCH)
            found = model(data.test_images[part].to(device)).argmax(1).cpu()
            right += int((found == data.test_labels[part]).sum())
    return 100 * right / len(data.test_images)
