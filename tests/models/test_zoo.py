from __future__ import annotations

import subprocess
import sys

import pytest
import torch

from rankwise.models.network import only
from rankwise.models.source import load_network
from rankwise.sources import zoo

# Names and shapes as torchvision's state dicts have them.
KNOWN = {
    "resnet18": (
        11_689_512,
        122,
        {
            "conv1.weight": (64, 3, 7, 7),
            "bn1.running_var": (64,),
            "layer1.0.conv1.weight": (64, 64, 3, 3),
            "layer2.0.downsample.0.weight": (128, 64, 1, 1),
            "layer2.0.downsample.1.num_batches_tracked": (),
            "layer4.1.bn2.bias": (512,),
            "fc.weight": (1000, 512),
        },
    ),
    "resnet34": (
        21_797_672,
        218,
        {"layer1.2.conv2.weight": (64, 64, 3, 3), "layer3.5.conv2.weight": (256, 256, 3, 3)},
    ),
    "resnet101": (44_549_160, 626, {"layer3.22.conv3.weight": (1024, 256, 1, 1)}),
    "resnet152": (
        60_192_808,
        932,
        {
            "layer2.7.conv1.weight": (128, 512, 1, 1),
            "layer3.35.bn3.weight": (1024,),
            "layer4.2.conv2.weight": (512, 512, 3, 3),
        },
    ),
    "vgg16": (
        138_357_544,
        32,
        {
            "features.0.weight": (64, 3, 3, 3),
            "features.28.bias": (512,),
            "classifier.0.weight": (4096, 25088),
            "classifier.6.weight": (1000, 4096),
        },
    ),
    "vgg16_bn": (
        138_365_992,
        97,
        {
            "features.1.running_mean": (64,),
            "features.40.weight": (512, 512, 3, 3),
            "features.41.weight": (512,),
            "classifier.3.weight": (4096, 4096),
        },
    ),
    "resnet50": (
        25_557_032,
        320,
        {
            "layer1.0.downsample.0.weight": (256, 64, 1, 1),
            "layer3.5.conv2.weight": (256, 256, 3, 3),
            "layer4.2.conv3.weight": (2048, 512, 1, 1),
            "layer4.2.bn3.running_mean": (2048,),
            "fc.bias": (1000,),
        },
    ),
    "mobilenet_v2": (
        3_504_872,
        314,
        {
            "features.0.0.weight": (32, 3, 3, 3),
            "features.1.conv.0.0.weight": (32, 1, 3, 3),
            "features.1.conv.1.weight": (16, 32, 1, 1),
            "features.1.conv.2.running_mean": (16,),
            "features.2.conv.0.0.weight": (96, 16, 1, 1),
            "features.17.conv.3.weight": (320,),
            "features.18.0.weight": (1280, 320, 1, 1),
            "classifier.1.weight": (1000, 1280),
        },
    ),
}


@pytest.mark.parametrize("name", sorted(KNOWN))
def test_state_dict_is_torchvisions(name: str) -> None:
    params, entries, shapes = KNOWN[name]
    with torch.device("meta"):
        module = zoo.ZOO[name]()
    state = {key: tuple(tensor.shape) for key, tensor in module.state_dict().items()}
    assert sum(p.numel() for p in module.parameters()) == params
    assert len(state) == entries
    assert shapes.items() <= state.items()


def test_resnet50_has_23_distinct_convolutions_and_strides_on_the_3x3() -> None:
    layers = load_network("resnet50").layers
    convolutions = [use.spec for use in layers if use.op == "conv2d" and use.spec]
    assert len(convolutions) == 53
    assert len({spec.key for spec in convolutions}) == 23
    strided = {
        use.name for use in layers if use.spec and use.spec.stride == (2, 2) and ".conv" in use.name
    }
    assert strided == {"layer2.0.conv2", "layer3.0.conv2", "layer4.0.conv2"}


def test_random_weights_are_the_same_in_every_process() -> None:
    given = "'mobilenet_v2', input_shape=(1, 3, 32, 32)"
    code = f"from rankwise.models.source import load_network as f; print(f({given}).sha256)"
    other = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert other.stdout.strip() == load_network("mobilenet_v2", input_shape=(1, 3, 32, 32)).sha256


def test_activations_neither_vanish_nor_overflow() -> None:
    import numpy as np

    network = load_network("mobilenet_v2", input_shape=(1, 3, 64, 64))
    outputs = only(network.outputs(np.ones((1, 3, 64, 64), np.float32)))
    assert 1e-6 < np.abs(outputs).max() < 1e6


def test_every_network_is_held_against_torchvision() -> None:
    assert set(KNOWN) == set(zoo.ZOO)
