"""A user's script with every public name, for `mypy --strict` (`make check`); nothing runs it.

What is assigned is annotated, so that a result that lost its type is an error here.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from torch import nn

import rankwise as rw
from rankwise import documents
from rankwise.reporter import Silent


class Printed:
    """A tracker of one's own."""

    def began(self, verb: str, options: Mapping[str, Any]) -> None:
        print(verb, sorted(options))

    def metrics(self, values: Mapping[str, float], step: int) -> None:
        print(step, values)

    def ended(self, verb: str, result: Any) -> None:
        print(verb, result)


def train(model: nn.Module, groups: list[dict[str, Any]], callbacks: Any) -> None:
    optimizer = torch.optim.SGD(groups, lr=1e-3)
    while callbacks.step():
        print(model.training)
        optimizer.step()


def everything(network: nn.Module, example: torch.Tensor, folder: Path) -> None:
    version: str = rw.__version__
    devices: documents.Devices = rw.devices()
    fleet: documents.Fleet = rw.fleet_devices(db="lab.db")
    doctor: documents.Doctor = rw.doctor("torch-cpu", threads=2)
    layers: documents.Layers = rw.layers(network, example, ranks="energy")
    profile: documents.Profile = rw.profile(
        network, example, backend="torch-cpu", reporter=[Printed(), rw.MlflowTracker()]
    )
    table: pd.DataFrame = rw.table(devices=["torch-cpu"])
    plan: documents.Plan = rw.plan(
        network, example, backend="torch-cpu", max_error=0.1, output=folder / "plan.json"
    )
    front: documents.Pareto = rw.pareto(network, example, backend="torch-cpu", points=3)
    done: documents.Tuning = rw.tune(network, example, backend="torch-cpu", target_speedup=1.2)
    why: documents.Explanation = rw.explain(plan, layer=layers.layers[0].name)
    edited: documents.WhatIf = rw.what_if(plan, network, example)
    smaller = rw.apply(plan, network, example)
    if isinstance(smaller, nn.Module):
        print(smaller(example).shape)
    loaded: nn.Module = rw.load("smaller.safetensors", network)
    checked: documents.VerificationDocument = rw.verify(
        "plan.json", network, example, reporter=rw.WandbTracker(mode="offline")
    )
    back: documents.Recovery = rw.recover(
        plan, network, data=folder, output=folder / "back.safetensors", steps=10, reporter=Silent()
    )
    tuned: documents.Recovery = rw.finetune(plan, train, output=folder / "tuned.safetensors")
    speedup: float | None = plan.predicted.speedup
    measured: float = checked.speedup
    fastest: float = max(point.speedup for point in front.points)
    alone: str = rw.write_report(plan, folder / "report.html")
    print(alone, rw.export_store(folder / "lab.zip"), rw.import_store(folder / "lab.zip"))
    print(rw.check_store(), rw.upgrade_store(), rw.prune_store("90d", dry_run=True))
    print(
        version,
        devices,
        fleet.headline,
        doctor.fit,
        profile.complete,
        len(table),
        speedup,
        measured,
        fastest,
    )
    print(done.reached, why.layers[0].candidates, edited.macs, loaded, back.report, tuned.history)
