"""The pictures of a plan: split as they were when it was made."""

from __future__ import annotations

import numpy as np
import pytest
from torch import nn

from rankwise import documents
from rankwise.errors import CalibrationError
from rankwise.factors.array_cache import ArrayCache
from rankwise.factors.planned_network import PlannedNetwork
from rankwise.models.notes import calibration_note
from rankwise.models.pictures import load_calibration
from rankwise.models.source import network_of_module

SHAPE = (1, 3, 8, 8)


@pytest.fixture
def rows(tmp_path):
    np.savez(tmp_path / "rows.npz", inputs=np.random.default_rng(0).normal(size=(9, *SHAPE[1:])))
    return tmp_path / "rows.npz"


@pytest.fixture
def planned(make_plan, tmp_path):
    network = network_of_module(nn.Conv2d(3, 2, 1), SHAPE)

    def of(note: documents.CalibrationNote) -> PlannedNetwork:
        plan = make_plan(network, {}).model_copy(update={"calibration": note})
        return PlannedNetwork(plan, network, ArrayCache(tmp_path / "cache"))

    return of


@pytest.mark.parametrize("confirm", [True, False])
def test_pictures_are_split_as_the_plan_says(planned, rows, confirm):
    made = load_calibration(rows, None, SHAPE, confirm=confirm)
    found = planned(calibration_note(made)).pictures(rows, None)
    assert (found.sha256, found.split) == (made.sha256, made.split)
    assert bool(found.split.confirm) == confirm


def test_a_plan_of_other_pictures(planned, rows):
    note = calibration_note(load_calibration(rows, None, SHAPE, seed=1))
    with pytest.raises(CalibrationError, match="not the pictures"):
        planned(note).pictures(rows, None)
