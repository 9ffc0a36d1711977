"""The networks and photos of `factors.py`, and its file of results."""

from __future__ import annotations

import json
import shutil
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "examples"))

from assets import fetch
from scenes import fetch_scenes

from rankwise.lowrank import applicable_kinds
from rankwise.models.network import Network
from rankwise.models.pictures import (
    Calibration,
    load_calibration,
)
from rankwise.models.source import load_network
from rankwise.records import LayerSpec

NETWORKS = {
    "ResNet-50-thin": ("open-nsfw.onnx", "caffe-bgr"),
    "demosaicking": ("demosaicking:network", "demosaicking:mosaic"),
}

SPLITS = ("fit", "select", "report")


@dataclass(frozen=True)
class Results:
    """Rows already there, and a place for more."""

    path: Path
    deadline: float

    def rows(self, what: str) -> list[dict[str, Any]]:
        if not self.path.exists():
            return []
        lines = self.path.read_text(encoding="utf-8").splitlines()
        return [row for line in lines if (row := json.loads(line))["what"] == what]

    def add(self, what: str, **row: Any) -> None:
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"what": what, **row}) + "\n")

    @property
    def spent(self) -> bool:
        return time.monotonic() > self.deadline


def photos(work: Path, count: int | None = None, scenes: bool = False) -> Path:
    """A folder with the photos of both packages, or with the first of them; with those of
    `scenes.py` as well."""
    folder = work / f"photos-{count or 'all'}{'-scenes' * scenes}"
    if not folder.exists():
        folder.mkdir(parents=True)
        found = sorted([*fetch("photos").iterdir(), *fetch("snapshots").iterdir()])
        found += sorted(fetch_scenes().iterdir()) if scenes else []
        for file in found[:count]:
            shutil.copy(file, folder)
    return folder


def load(name: str, folder: Path, crops: int | None = None) -> tuple[Network, Calibration]:
    source, preprocess = NETWORKS[name]
    network = load_network(str(fetch(source)) if source.endswith(".onnx") else source)
    return network, load_calibration(folder, preprocess, network.input_shape, crops=crops)


def layer_specs(network: Network) -> dict[str, LayerSpec]:
    uses = network.layers
    return {use.name: use.spec for use in uses if use.spec and applicable_kinds(use.spec)[0]}
