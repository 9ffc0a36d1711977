"""A published network on photos. Skipped where they cannot be downloaded."""

from __future__ import annotations

import importlib.util
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import onnx
import pytest

from rankwise.models.fidelity import relative_error
from rankwise.models.network import only
from rankwise.models.pictures import load_calibration
from rankwise.models.source import load_network

ASSETS = Path(__file__).resolve().parents[2] / "examples" / "assets.py"


def fetch(name: str) -> Path:
    spec = importlib.util.spec_from_file_location("rankwise_example_assets", ASSETS)
    assert spec
    assert spec.loader
    assets = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = assets  # dataclasses look their module up
    spec.loader.exec_module(assets)
    try:
        return Path(assets.fetch(name))
    except assets.AssetError as error:
        pytest.skip(str(error))


@pytest.mark.slow
def test_resnet50_thin_at_full_rank_computes_the_same_logits(full_rank):
    network = load_network(str(fetch("open-nsfw.onnx")))
    kernels = Counter(u.spec.kernel_size for u in network.layers if u.spec and u.op == "conv2d")
    assert kernels == {(1, 1): 36, (3, 3): 16, (7, 7): 1}
    assert network.input_shape == (1, 224, 224, 3)
    pictures = load_calibration(fetch("photos"), "caffe-bgr", network.input_shape, crops=1)
    assert pictures.report.shape[1:] == (224, 224, 3)
    assert np.ptp(pictures.report) > 200
    logits = only(network.outputs(pictures.report))
    assert logits.shape == (len(pictures.split.report), 2)
    for chosen in full_rank(network):
        compressed = network.replaced(chosen)
        onnx.checker.check_model(compressed.model, full_check=True)
        assert relative_error(logits, only(compressed.outputs(pictures.report))) < 1e-4
