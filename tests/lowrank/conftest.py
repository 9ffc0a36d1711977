"""Weights that were trained, from a published network. Skipped where it cannot be downloaded."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import numpy_helper

ASSETS = Path(__file__).resolve().parents[2] / "examples" / "assets.py"


@pytest.fixture(scope="session")
def real_weights() -> list[NDArray[np.float64]]:
    """The 3x3 convolutions of ResNet-50-thin, the smallest first, in float64."""
    spec = importlib.util.spec_from_file_location("rankwise_example_assets", ASSETS)
    assert spec
    assert spec.loader
    assets = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = assets  # dataclasses look their module up
    spec.loader.exec_module(assets)
    try:
        model = onnx.load(assets.fetch("open-nsfw.onnx"))
    except assets.AssetError as error:
        pytest.skip(str(error))
    weights = [numpy_helper.to_array(tensor) for tensor in model.graph.initializer]
    found = [w.astype(np.float64) for w in weights if w.ndim == 4 and w.shape[2:] == (3, 3)]
    assert len(found) == 16
    return sorted(found, key=np.size)
