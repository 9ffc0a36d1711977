"""Whole torch networks are timed in processes of their own, which load them by their names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from rankwise.backends.base import ModuleWorkload
from rankwise.campaign.setup import make_setup
from rankwise.db.store import Store
from rankwise.errors import MeasurementError, ModelError
from rankwise.factors.assembly import Assembly
from rankwise.models.network import only
from rankwise.models.source import load_network
from rankwise.network_timing import inference_runs
from rankwise.network_timing.named_networks import NamedNetwork
from rankwise.profiler import process_executor
from rankwise.records import Decomposition, Effort

SHAPE = (2, 3, 12, 12)
EFFORT = Effort(interval=0.5, min_rounds=3, max_rounds=3, preparations=2, round_s=0.001)
DECISIONS = {"0": Decomposition("svd", (2,)), "2": Decomposition("tucker2", (4, 6))}
NET = """
import torch
from torch import nn

def net():
    return nn.Sequential(nn.Conv2d(3, 8, 1), nn.ReLU(), nn.Conv2d(8, 16, 3))

def restless():
    torch.seed()
    return net()
"""


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "named_net.py").write_text(NET, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def crossed(source: str, folder: Path, decisions: dict[str, Decomposition]) -> NamedNetwork:
    """As it arrives in the other process."""
    network = load_network(source, input_shape=SHAPE)
    changed = Assembly(network).network_with(decisions)
    named = NamedNetwork.written("k", changed, None, folder)
    return NamedNetwork.from_json(named.to_json())


@pytest.mark.parametrize("decisions", [{}, DECISIONS])
def test_the_other_process_has_the_same_network(
    here: Path, decisions: dict[str, Decomposition]
) -> None:
    module = crossed("named_net:net", here, decisions).workload().module
    network = load_network("named_net:net", input_shape=SHAPE)
    ours = Assembly(network).network_with(decisions)
    inputs = np.random.default_rng(0).standard_normal(SHAPE, dtype=np.float32)
    with torch.no_grad():
        theirs = module(torch.from_numpy(inputs)).numpy()
    np.testing.assert_array_equal(theirs, only(ours.outputs(inputs)))


def test_a_name_that_gives_another_network_each_time_is_refused(here: Path) -> None:
    with pytest.raises(ModelError, match="another network each time"):
        crossed("named_net:restless", here, DECISIONS).workload()


class Counted(process_executor.ProcessExecutor):
    made = 0

    def __init__(self, *arguments: Any, **options: Any) -> None:
        Counted.made += 1
        super().__init__(*arguments, **options)


def compared(source: str, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    Counted.made = 0
    monkeypatch.setattr(inference_runs, "ProcessExecutor", Counted)
    setup = make_setup(source, backend="torch-cpu", input_shape=SHAPE)
    others = {"other": Assembly(setup.network).network_with(DECISIONS)}
    with Store.open("sqlite:///store.db") as store:
        found = inference_runs.compare_networks(setup, store, others, {}, EFFORT)
        assert store.check() == []
    return found


def test_every_preparation_has_a_process(monkeypatch: pytest.MonkeyPatch) -> None:
    assert compared("named_net:net", monkeypatch)["other"].speedup > 0
    assert Counted.made == EFFORT.preparations


def test_what_the_process_refuses_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(MeasurementError, match="another network each time"):
        compared("named_net:restless", monkeypatch)


def test_a_module_without_a_name_stays_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(inference_runs, "ProcessExecutor", None)
    module = load_network("named_net:net", input_shape=SHAPE).module  # type: ignore[attr-defined]
    setup = make_setup(module, example_input=SHAPE, backend="torch-cpu")
    assert not setup.named
    others = {"other": Assembly(setup.network).network_with(DECISIONS)}
    with Store.open("sqlite:///store.db") as store:
        found = inference_runs.compare_networks(setup, store, others, {}, EFFORT)
    assert found["other"].speedup > 0
    assert isinstance(setup.network.workload("k", (ModuleWorkload,), Path()), ModuleWorkload)
