"""What the student is to learn: the original's outputs, and the outputs of replaced layers."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Self

import torch
from torch import Tensor

from ..inputs.calls import ForCall
from ..models.compared import Compared
from ..models.torch_outputs import compared_tensors
from .hooks import hooked
from .pair import Pair

TINY = 1e-12


def relative_square(outputs: Tensor, wanted: Tensor) -> Tensor:
    """||outputs - wanted||^2 / ||wanted||^2 over the whole batch: the square of the relative
    error."""
    return (outputs - wanted).square().sum() / wanted.square().sum().clamp_min(TINY)


class Distillation:
    """The loss of a batch; no label is needed.

    It is the squared network error of what is `compared`, and, weighed by `features`, the mean
    relative square error of the replaced layers' own outputs. An activation that works in place on
    such an output is part of it, on both sides alike. A context manager: hooks are there only
    inside.
    """

    def __init__(self, pair: Pair, compared: Compared, features: float) -> None:
        self.pair, self.compared, self.features = pair, compared, features
        self._seen: tuple[dict[str, Tensor], dict[str, Tensor]] = ({}, {})
        self._hooks = ExitStack()

    def __enter__(self) -> Self:
        if self.features > 0:
            modules = (self.pair.original, self.pair.student)
            for module, seen in zip(modules, self._seen, strict=True):
                self._hooks.enter_context(hooked(module, self.pair.chains, seen.__setitem__))
        return self

    def __exit__(self, *_error: object) -> None:
        self._hooks.close()

    def loss(self, inputs: ForCall) -> Tensor:
        loss = self._of_outputs(inputs)
        if self.features <= 0 or not self.pair.chains:
            return loss
        original, student = self._seen
        errors = [relative_square(student[path], original[path]) for path in self.pair.chains]
        for seen in self._seen:
            seen.clear()
        return loss + self.features * torch.stack(errors).mean()

    def _of_outputs(self, inputs: ForCall) -> Tensor:
        with torch.no_grad():
            wanted = self.compared.select(compared_tensors(self.pair.original, inputs))
        given = self.compared.select(compared_tensors(self.pair.student, inputs))
        shares = zip(self.compared.names, self.compared.shares, strict=True)
        errors = [share * relative_square(given[name], wanted[name]) for name, share in shares]
        return torch.stack(errors).sum()
