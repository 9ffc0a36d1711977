"""Sequential freezing: what is frozen when, and what gradients then are."""

from __future__ import annotations

import pytest
import torch

from rankwise.errors import UsageError
from rankwise.training.freezing import Freezing, freeze
from rankwise.training.pair import links, pair_of


@pytest.mark.parametrize(("text", "steps"), [("none", 0), ("sequential", 25), ("sequential:3", 3)])
def test_parsed(text, steps):
    assert Freezing.parse(text).turn_steps == steps
    assert str(Freezing.parse(text)) == (f"sequential:{steps}" if steps else "none")


@pytest.mark.parametrize("text", ["", "sequential:0", "sequential:x", "always"])
def test_refused(text):
    with pytest.raises(UsageError, match="--freeze"):
        Freezing.parse(text)


def test_turns_take_turns():
    assert [Freezing(2).turn(step) for step in range(6)] == [0, 0, 1, 1, 0, 0]
    assert Freezing(0).turn(7) is None


def test_frozen_factors_get_no_gradient_and_the_rest_does(network, ranks, replacements, rows):
    student = pair_of(network, replacements(network, ranks)).student
    student.requires_grad_(True)
    for parity in (0, 1, None):
        freeze(student, tuple(ranks), parity)
        student.zero_grad(set_to_none=True)
        student(torch.from_numpy(rows)).square().sum().backward()
        for path in ranks:
            for number, link in enumerate(links(student.get_submodule(path))):
                assert (link.weight.grad is None) == (number % 2 == parity)
        assert student.bn.weight.grad is not None


def test_gradients_of_what_is_trained_are_as_without_freezing(network, ranks, replacements, rows):
    student = pair_of(network, replacements(network, ranks)).student
    student.requires_grad_(True)
    found = []
    for parity in (None, 0):
        freeze(student, tuple(ranks), parity)
        student.zero_grad(set_to_none=True)
        student(torch.from_numpy(rows)).square().sum().backward()
        found.append(student.get_submodule("stem")[1].weight.grad.clone())
    torch.testing.assert_close(*found)
