"""One whole training step of a network, timed: forward, loss, backward, update."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from ..errors import MeasurementError
from ..models.network import first_line
from ..models.torch_layers import first_tensor
from .freezing import freeze


class TrainingStep:
    """A module in train mode with an SGD optimiser (momentum 0.9) on random examples.

    The rate is 0, so that however many steps are timed the weights stay as they are (denormals
    and overflows would be timed, too); the work of an update is the same. `frozen` is the parity
    of factors that is frozen (see `freezing`), None for none.
    """

    def __init__(
        self,
        module: nn.Module,
        input_shape: Sequence[int],
        chains: Sequence[str] = (),
        frozen: int | None = None,
        device: str = "cpu",
    ) -> None:
        self.device = torch.device(device)
        self.module = module.to(self.device).train().requires_grad_(True)
        freeze(self.module, chains, frozen)
        generator = torch.Generator().manual_seed(0)
        self.inputs = torch.randn(tuple(input_shape), generator=generator).to(self.device)
        trained = [p for p in self.module.parameters() if p.requires_grad]
        self.optimizer = torch.optim.SGD(trained, lr=0.0, momentum=0.9)

    def run(self, loops: int) -> float:
        """Seconds of one step, over `loops` of them. Raises `MeasurementError` if one fails."""
        try:
            self._synchronise()
            start = time.perf_counter_ns()
            for _ in range(loops):
                self._step()
            self._synchronise()
        except Exception as error:  # a user's module may raise anything
            raise MeasurementError(f"training failed: {first_line(error)}") from error
        return (time.perf_counter_ns() - start) * 1e-9 / loops

    def _step(self) -> None:
        self.optimizer.zero_grad(set_to_none=True)
        output: Any = first_tensor(self.module(self.inputs))
        output.square().mean().backward()
        self.optimizer.step()

    def _synchronise(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
