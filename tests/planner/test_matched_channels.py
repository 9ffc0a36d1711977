"""Channels matched inside a plan, and two-sided factors: what is applied is what was measured."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import rankwise as rw
from rankwise import documents
from rankwise.errors import CalibrationError
from rankwise.factors.array_cache import ArrayCache
from rankwise.factors.assembly import Assembly
from rankwise.factors.planned_network import PlannedNetwork
from rankwise.models.network import Network, only
from rankwise.models.pictures import load_calibration
from rankwise.models.source import network_of_module
from rankwise.planner import matched_channels

FAKE = "fake:step=8"
SHAPE = (1, 3, 12, 12)


def deep(bends: bool) -> nn.Module:
    """Layers of hardly falling spectra: what is cut off is missed in every deviation. What bends
    answers with means."""
    torch.manual_seed(5)
    layers: list[nn.Module] = []
    for few, many in ((3, 32), (32, 32), (32, 32), (32, 16)):
        layers += [nn.Conv2d(few, many, 3, padding=1), nn.ReLU() if bends else nn.Identity()]
    layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten()] if bends else []
    net = nn.Sequential(*layers).eval()
    with torch.no_grad():
        for layer in net[:8:2]:
            layer.weight.mul_(1.7)
    return net


def planned(net: Network, rows: Path, folder: Path, **given: Any) -> documents.Plan:
    db = f"sqlite:///{folder}/store.db"
    rw.profile(net, backend=FAKE, db=db)
    words = {"max_error": 0.5, "refine": False, "calibration": rows, **given}
    return rw.plan(net, backend=FAKE, db=db, output=folder / "plan.json", **words)


def error_of(net: Network, compressed: Network, examples: np.ndarray) -> float:
    wanted, given = (only(one.outputs(examples)) for one in (net, compressed))
    return float(np.linalg.norm(given - wanted) / np.linalg.norm(wanted))


@pytest.fixture(scope="module")
def helped(tmp_path_factory: pytest.TempPathFactory) -> tuple[Network, Path, documents.Plan]:
    folder = tmp_path_factory.mktemp("helped")
    coarse = np.random.default_rng(1).normal(size=(12, 3, 4, 4)).astype(np.float32)
    np.savez(folder / "rows.npz", np.kron(coarse, np.ones((3, 3), np.float32)))
    net = network_of_module(deep(bends=True), SHAPE)
    return net, folder, planned(net, folder / "rows.npz", folder)


def test_a_plan_with_matched_channels_is_applied_as_it_was_measured(
    helped: tuple[Network, Path, documents.Plan], tmp_path: Path
) -> None:
    net, folder, plan = helped
    assert plan.match_channels
    assert plan.decisions
    pictures = load_calibration(folder / "rows.npz", None, SHAPE)
    kept = rw.apply(folder / "plan.json", net, db=f"sqlite:///{folder}/store.db")
    anew = rw.apply(
        folder / "plan.json",
        net,
        db=f"sqlite:///{tmp_path}/other.db",
        calibration=folder / "rows.npz",
    )
    for applied in (kept, anew):
        error = error_of(net, applied, pictures.select)
        assert error == pytest.approx(plan.predicted.network_error, rel=1e-3)
    assert plan.promise is not None
    error = error_of(net, kept, pictures.confirm)
    assert error == pytest.approx(plan.promise.network_error, rel=1e-4)
    plain = json.loads((folder / "plan.json").read_text()) | {"match_channels": False}
    other = rw.apply(documents.Plan.model_validate(plain), net, db=f"sqlite:///{folder}/store.db")
    assert abs(error_of(net, other, pictures.select) / plan.predicted.network_error - 1) > 1e-3


def test_verify_sees_matched_channels(
    helped: tuple[Network, Path, documents.Plan],
) -> None:
    net, folder, plan = helped
    db = f"sqlite:///{folder}/store.db"
    found = rw.verify(plan, net, db=db, data=folder / "rows.npz")
    compressed = rw.apply(plan, net, db=db)
    pictures = load_calibration(folder / "rows.npz", None, SHAPE)
    error = error_of(net, compressed, pictures.report)
    assert found.fidelity["relative_error"] == pytest.approx(error, rel=1e-4)


def test_without_pictures_and_cache_it_cannot_be_applied(
    helped: tuple[Network, Path, documents.Plan], tmp_path: Path
) -> None:
    net, folder, _ = helped
    with pytest.raises(CalibrationError, match="give the same pictures again with --calibration"):
        rw.apply(folder / "plan.json", net, db=f"sqlite:///{tmp_path}/none.db")


def test_both_sides_of_the_layers_are_in_the_document(
    helped: tuple[Network, Path, documents.Plan], tmp_path: Path
) -> None:
    """Factors are made again from what the document says, without what chose it."""
    net, folder, plan = helped
    made = [one for one in plan.layers if one.name in plan.decisions]
    assert all(one.factors == "data" for one in made)
    assert any(one.output_shrinkage is not None for one in made)
    pictures = load_calibration(folder / "rows.npz", None, SHAPE)
    kept = PlannedNetwork(plan, net, ArrayCache(folder / "store.cache")).assembly()
    anew = PlannedNetwork(plan, net, ArrayCache(tmp_path / "new.cache")).assembly(pictures)
    for name, one in plan.decisions.items():
        for a, b in zip(kept.links(name, one), anew.links(name, one), strict=True):
            scale = abs(a.weight).max()
            np.testing.assert_allclose(a.weight, b.weight, atol=1e-6 * scale)
        plain = Assembly(net).links(name, one)
        assert abs(plain[0].weight - kept.links(name, one)[0].weight).max() > 1e-4


@pytest.mark.parametrize("bends", [True, False])
def test_channels_are_matched_where_that_helps(
    bends: bool, rows_of: Callable[[int], Path], tmp_path: Path, told: Any
) -> None:
    """The means of what comes out of many activations move; where nothing bends, least squares
    keep means, and deviations that are missed were noise."""
    net = network_of_module(deep(bends), SHAPE)
    plan = planned(net, rows_of(12), tmp_path, reporter=told)
    assert plan.decisions
    assert plan.match_channels is bends
    said = [one for one in told.messages if one.startswith("channels are matched")]
    assert len(said) == bends
    for one in said:
        before, after = (float(word) for word in one.split()[-3::2])
        assert after < 0.98 * before


def test_a_problem_without_pictures_stays(problem_of: Callable[..., Any]) -> None:
    problem = problem_of(pictures=None)
    assert matched_channels.with_matched_channels(problem, None) is problem
