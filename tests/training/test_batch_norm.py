"""Statistics of batch normalisation, estimated again."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from rankwise.training.batch_norm import batch_norms, reestimate


def test_they_are_those_of_the_batches(rows):
    model = nn.Sequential(nn.BatchNorm2d(3), nn.ReLU()).eval()
    batches = [torch.from_numpy(part) for part in np.split(rows * 3 + 1, 4)]
    reestimate(model, batches)
    norm = model[0]
    together = np.concatenate([b.numpy() for b in batches])
    np.testing.assert_allclose(norm.running_mean, together.mean((0, 2, 3)), rtol=1e-4)
    variances = np.mean([b.numpy().var((0, 2, 3), ddof=1) for b in batches], axis=0)
    np.testing.assert_allclose(norm.running_var, variances, rtol=1e-4)
    assert not norm.training
    assert norm.momentum == 0.1


def test_one_value_per_channel_changes_nothing(rows):
    model = nn.Sequential(nn.Flatten(), nn.Linear(432, 4), nn.BatchNorm1d(4)).eval()
    before = {name: one.clone() for name, one in model.state_dict().items()}
    with pytest.raises(ValueError, match="more than 1 value"):
        reestimate(model, [torch.from_numpy(rows[:8]), torch.from_numpy(rows[:1])])
    assert all(torch.equal(one, before[name]) for name, one in model.state_dict().items())
    assert not model[2].training
    assert model[2].momentum == 0.1


def test_without_statistics_there_is_nothing_to_do(rows):
    model = nn.Sequential(nn.BatchNorm2d(3, track_running_stats=False)).eval()
    assert batch_norms(model) == []
    reestimate(model, [torch.from_numpy(rows)])
