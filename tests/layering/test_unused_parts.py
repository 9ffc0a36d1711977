"""Parts that no answer depends on are found; in doubt a part is used."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from rankwise.layering.unused_parts import Dependence
from rankwise.models.source import network_of_module

Answer = Callable[["Two", Tensor], Any]


class Two(nn.Module):
    """Two linear layers, (n, 4) -> (n, 4), and what a function makes of them."""

    def __init__(self, answer: Answer) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(4, 4), nn.Linear(4, 4)
        self.kept: Tensor | None = None
        self.answer = answer

    def forward(self, x: Tensor) -> Any:
        return self.answer(self, x)


def unused(answer: Answer) -> set[str]:
    torch.manual_seed(0)
    module = Two(answer).eval()
    dependence = Dependence([module.first, module.second])
    with torch.no_grad(), dependence.of(module, lambda made: [made]):
        module(torch.randn(2, 4))
    return {name for name, part in module.named_children() if part in dependence.unused}


def dropped(net: Two, x: Tensor) -> Tensor:
    _ = net.second(x).relu() + 1
    return net.first(x)


def kept_for_later(net: Two, x: Tensor) -> Tensor:
    net.kept = net.second(net.first(x))
    return net.first(x)


def not_called(net: Two, x: Tensor) -> Tensor:
    return net.second(x) if len(x) > 5 else net.first(net.first(x))


def written_into(net: Two, x: Tensor) -> Tensor:
    out = torch.zeros(2, 8)
    out[:, :4] = net.first(x)
    out[:, 4:].add_(net.second(x).detach())
    return out


def as_index(net: Two, x: Tensor) -> Tensor:
    return net.first(x)[:, net.second(x).argmax(dim=1)]


def as_number(net: Two, x: Tensor) -> Tensor:
    return net.first(x) * float(net.second(x).sum())


def as_condition(net: Two, x: Tensor) -> Tensor:
    return net.first(x) if net.second(x).sum() > 0 else net.first(-x)


def through_numpy(net: Two, x: Tensor) -> Tensor:
    return net.first(x) + torch.from_numpy(np.asarray(net.second(x)) * 2)


def as_list(net: Two, x: Tensor) -> Tensor:
    return net.first(x) + torch.tensor(net.second(x).tolist())


@pytest.mark.parametrize(
    ("answer", "found"),
    [
        (dropped, {"second"}),
        (kept_for_later, {"second"}),
        (not_called, set()),
        (written_into, set()),
        (as_index, set()),
        (as_number, set()),
        (as_condition, set()),
        (through_numpy, set()),
        (as_list, set()),
    ],
)
def test_what_is_unused(answer: Answer, found: set[str]) -> None:
    assert unused(answer) == found


def test_it_is_listed_with_the_reason() -> None:
    network = network_of_module(Two(dropped).eval(), (2, 4))
    assert {use.name: use.reason for use in network.layers} == {
        "first": "",
        "second": "no output depends on it: it can be left out of the forward pass",
    }
