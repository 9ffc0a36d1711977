"""What one execution is: a forward pass, or a whole training step."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase
from typing import Any

import torch
from torch import nn

from ..errors import BackendError, MeasurementError
from ..records import MeasurementPolicy
from .clocks import Step
from .modules import tensors_of

MOMENTUM = 0.9
LEARNING_RATE = 0.0
"""The optimiser's arithmetic is the same at any rate; at this one the weights stay where they
are, so every round times the same numbers and none grows into infinity."""
SEED = 1

FROZEN_LINKS: dict[str, slice] = {
    "": slice(0, 0),
    "first": slice(0, 1),
    "last": slice(-1, None),
    "inner": slice(1, -1),
}
"""Frozen sets of a chain by name. A chain of one link is the layer itself: never frozen."""

Forward = Callable[..., Any]


class ForwardStep:
    """Inference: the output is thrown away."""

    between: Step | None = None

    def __init__(self, forward: Forward, inputs: Sequence[torch.Tensor]) -> None:
        self._forward, self._inputs = forward, inputs

    def __call__(self) -> None:
        self._forward(*self._inputs)


class TrainingStep:
    """Forward, backward with a fixed random upstream gradient, SGD with momentum.

    Gradients are dropped by `between`, outside the timed part. The input's gradient is
    computed if `input_gradient`: in a network the layer before needs it. Raises
    `MeasurementError` (stage `prepare`) where nothing is left to compute a gradient for.
    """

    def __init__(
        self,
        forward: Forward,
        inputs: Sequence[torch.Tensor],
        trained: Sequence[nn.Parameter],
        input_gradient: bool,
    ) -> None:
        if not trained and not input_gradient:
            raise MeasurementError("everything is frozen: there is nothing to train", "prepare")
        self._forward = forward
        self._inputs = [
            one.detach().requires_grad_(input_gradient and one.is_floating_point())
            for one in inputs
        ]
        self._trained = trained
        self._optimizer = (
            torch.optim.SGD(trained, lr=LEARNING_RATE, momentum=MOMENTUM) if trained else None
        )
        self._upstream: list[torch.Tensor] = []

    def __call__(self) -> None:
        outputs = tensors_of(self._forward(*self._inputs))
        torch.autograd.backward(outputs, self._upstream or self._make_upstream(outputs))
        if self._optimizer is not None:
            self._optimizer.step()

    def between(self) -> None:
        """Drop the gradients, as training loops do, instead of filling them with zeros."""
        for one in self._inputs:
            one.grad = None
        for parameter in self._trained:
            parameter.grad = None

    def _make_upstream(self, outputs: Sequence[torch.Tensor]) -> list[torch.Tensor]:
        """Once, in the first (untimed) execution; the generator is one of its own."""
        generator = torch.Generator().manual_seed(SEED)
        self._upstream = [
            torch.randn(output.shape, generator=generator).to(output) for output in outputs
        ]
        return self._upstream


def freeze_links(chain: nn.Sequential, frozen: str) -> list[nn.Parameter]:
    """Freeze the named links of a chain; the parameters that are left to train."""
    links = [part for part in chain if isinstance(getattr(part, "weight", None), nn.Parameter)]
    stopped = links[FROZEN_LINKS[frozen]] if len(links) > 1 else []
    for link in stopped:
        link.requires_grad_(False)
    return [parameter for parameter in chain.parameters() if parameter.requires_grad]


def freeze_named(module: nn.Module, frozen: str) -> list[nn.Parameter]:
    """Freeze the parameters of a network whose names fit a pattern (`layer1.*, *.bias`)."""
    patterns = [text.strip() for text in frozen.split(",") if text.strip()]
    for name, parameter in module.named_parameters():
        if any(fnmatchcase(name, pattern) for pattern in patterns):
            parameter.requires_grad_(False)
    return [parameter for parameter in module.parameters() if parameter.requires_grad]


def require_trainable(backend: str, policy: MeasurementPolicy) -> None:
    """`BackendError` unless the type fits the phase, and the frozen set that and the context."""
    frozen = policy.frozen
    if policy.phase == "training" and policy.dtype == "float16":
        raise BackendError(
            "training in float16 needs a loss that is scaled, which is not timed: take bfloat16"
        )
    if frozen and policy.phase != "training":
        raise BackendError(f"a frozen set ({frozen!r}) belongs to the training phase")
    if policy.context != "in_network" and frozen not in FROZEN_LINKS:
        known = ", ".join(name for name in FROZEN_LINKS if name)
        raise BackendError(f"{backend} knows the frozen sets {known} of a chain, not {frozen!r}")
