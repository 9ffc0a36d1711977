"""What the student is to learn: the original's outputs, and the outputs of replaced layers."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType
from typing import Any, Self

import torch
from torch import Tensor, nn

from ..models.torch_layers import first_tensor
from .pair import Pair

TINY = 1e-12


def relative_square(found: Tensor, wanted: Tensor) -> Tensor:
    """||found - wanted||^2 / ||wanted||^2 over the whole batch: the square of what
    `fidelity.relative_error` tells."""
    return (found - wanted).square().sum() / wanted.square().sum().clamp_min(TINY)


class Distillation:
    """The loss of a batch; no label is needed.

    `features` weighs the mean relative square error of the replaced layers' own outputs against
    that of the network's. An activation that works in place on such an output is part of it, on
    both sides alike. A context manager: hooks are there only inside.
    """

    def __init__(self, pair: Pair, features: float) -> None:
        self.pair, self.features = pair, features
        self._seen: tuple[dict[str, Tensor], dict[str, Tensor]] = ({}, {})
        self._hooks: list[Any] = []

    def __enter__(self) -> Self:
        if self.features > 0:
            for module, seen in zip(
                (self.pair.original, self.pair.student), self._seen, strict=True
            ):
                self._watch(module, self.pair.chains, seen)
        return self

    def _watch(self, module: nn.Module, paths: Sequence[str], seen: dict[str, Tensor]) -> None:
        for path in paths:
            part = module.get_submodule(path)
            self._hooks.append(part.register_forward_hook(_keeper(seen, path)))

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for hook in self._hooks:
            hook.remove()
        self._hooks.clear()

    def loss(self, inputs: Tensor) -> Tensor:
        with torch.no_grad():
            wanted = first_tensor(self.pair.original(inputs))
        loss = relative_square(first_tensor(self.pair.student(inputs)), wanted)
        if self.features <= 0 or not self.pair.chains:
            return loss
        original, student = self._seen
        errors = [relative_square(student[path], original[path]) for path in self.pair.chains]
        for seen in self._seen:
            seen.clear()
        return loss + self.features * torch.stack(errors).mean()


def _keeper(seen: dict[str, Tensor], path: str) -> Any:
    def keep(_module: nn.Module, _inputs: Any, output: Tensor) -> None:
        seen[path] = output

    return keep
