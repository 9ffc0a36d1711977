"""What the tutorial works on: net.onnx, a small network, and pictures.npz, forty made-up pictures.

    python examples/tutorial_network.py

Nothing is trained, but weights are like trained ones in what matters here: their singular values
fall off, so that small ranks lose little.
"""

from __future__ import annotations

import logging
import warnings

import numpy as np
import torch
from torch import nn

PICTURES, SIZE, BLOCK, WIDTH = 40, 64, 8, 64


def main() -> None:
    torch.manual_seed(0)
    # What torch says of its own exporter is not for readers of the tutorial.
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    warnings.simplefilter("ignore")
    example = torch.zeros(1, 3, SIZE, SIZE)
    names = {"input_names": ["image"], "output_names": ["scores"]}
    torch.onnx.export(
        network(), (example,), "net.onnx", **names, dynamo=True, external_data=False, verbose=False
    )
    np.savez("pictures.npz", image=pictures())
    print("wrote net.onnx and pictures.npz")


def network() -> nn.Module:
    """Five convolutions of 3x3 and a linear layer: 1.1 million parameters, 460 million MACs."""
    return nn.Sequential(
        *layer(3, WIDTH),
        *layer(WIDTH, 2 * WIDTH, stride=2),
        *layer(2 * WIDTH, 2 * WIDTH),
        *layer(2 * WIDTH, 4 * WIDTH, stride=2),
        *layer(4 * WIDTH, 4 * WIDTH),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(4 * WIDTH, 10),
    ).eval()


def layer(inputs: int, outputs: int, stride: int = 1) -> tuple[nn.Module, nn.Module]:
    """A convolution whose n-th singular value is the first one, divided by the root of n."""
    conv = nn.Conv2d(inputs, outputs, 3, stride, padding=1)
    nn.init.kaiming_normal_(conv.weight)
    left, values, right = torch.linalg.svd(conv.weight.detach().flatten(1), full_matrices=False)
    falling = torch.arange(1, len(values) + 1) ** -0.5
    falling *= values.norm() / falling.norm()
    conv.weight.data = (left * falling @ right).view_as(conv.weight)
    return conv, nn.ReLU()


def pictures() -> np.ndarray:
    """(40, 3, 64, 64) in float32: patches of one colour."""
    patches = np.random.default_rng(0).normal(size=(PICTURES, 3, SIZE // BLOCK, SIZE // BLOCK))
    return patches.astype(np.float32).repeat(BLOCK, axis=2).repeat(BLOCK, axis=3)


if __name__ == "__main__":
    main()
