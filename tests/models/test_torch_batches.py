"""A module's outputs for many examples, in batches and threads that change nothing."""

from __future__ import annotations

import time

import numpy as np
import pytest
import torch
from torch import nn

from rankwise.errors import ModelError
from rankwise.models.network import only
from rankwise.models.source import network_of_module


def test_more_pictures_than_the_batch(small_net, noise):
    inputs = noise(5, 3, 8, 8)
    network = network_of_module(small_net, (2, 3, 8, 8))
    with torch.no_grad():
        expected = small_net(torch.from_numpy(inputs)).numpy()
    np.testing.assert_allclose(only(network.outputs(inputs)), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("workers", [1, 3])
def test_threads_change_nothing_but_the_time(small_net, noise, workers, monkeypatch):
    inputs = noise(21, 3, 8, 8)
    network = network_of_module(small_net, (1, 3, 8, 8))
    wanted = only(network.outputs(inputs))
    threads = torch.get_num_threads()
    monkeypatch.setattr("rankwise.models.batching.processors", lambda: workers)
    assert np.array_equal(only(network.outputs(inputs)), wanted)
    assert torch.get_num_threads() == threads


def test_a_module_that_keeps_what_it_computes_is_not_shared_by_threads(noise):
    class Keeps(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Conv2d(3, 3, 1)

        def forward(self, x):
            self.kept = x
            time.sleep(0.002)  # lets other threads in
            return self.layer(self.kept)

    inputs = noise(40, 3, 8, 8)
    network = network_of_module(Keeps().eval(), (1, 3, 8, 8))
    expected = network.module.layer(torch.from_numpy(inputs)).detach().numpy()
    np.testing.assert_allclose(only(network.outputs(inputs)), expected, rtol=1e-5, atol=1e-6)


def test_a_module_that_mixes_examples_gets_them_as_it_was_made_for(noise):
    net = nn.BatchNorm2d(3, track_running_stats=False).eval()  # statistics of each batch
    inputs = noise(6, 3, 8, 8)
    network = network_of_module(nn.Sequential(nn.Conv2d(3, 3, 1), net), (1, 3, 8, 8))
    with torch.no_grad():
        alone = [network.module(torch.from_numpy(one[None])) for one in inputs]
    np.testing.assert_allclose(only(network.outputs(inputs)), torch.cat(alone).numpy(), atol=1e-5)


def test_errors_of_a_thread_are_one_sentence(noise):
    class Picky(nn.Module):
        def forward(self, x):
            if x.max() > 99:
                raise ValueError("too bright")
            return x

    network = network_of_module(Picky(), (1, 3, 8, 8))
    inputs = noise(30, 3, 8, 8)
    inputs[17] = 100
    with pytest.raises(ModelError, match="too bright"):
        network.outputs(inputs)
