"""One whole training step of a network, or one forward pass of it, timed."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import nn

from ..errors import MeasurementError, first_line
from ..inputs.calls import call_of
from ..inputs.examples import Takes, inputs_of
from ..models.torch_outputs import named_tensors
from .freezing import freeze


class ForwardPass:
    """Inference, in eval mode. `dtype` bfloat16 computes under autocast; float32 as torch does by
    itself."""

    train_mode = False

    def __init__(
        self,
        module: nn.Module,
        takes: Takes,
        device: str = "cpu",
        dtype: str = "float32",
    ) -> None:
        self.device, self.dtype = torch.device(device), getattr(torch, dtype)
        self.module = module.train(self.train_mode).to(self.device)
        inputs = inputs_of(takes)
        call = call_of(inputs.noise(inputs.batch, seed=0))
        self.args, self.kwargs = call.to(self.device).arguments

    def run(self, loops: int) -> float:
        """Seconds of one, over `loops` of them. Raises `MeasurementError` if one fails."""
        try:
            self._synchronise()
            start = time.perf_counter_ns()
            for _ in range(loops):
                self._once()
            self._synchronise()
        except Exception as error:  # a user's module may raise anything
            raise MeasurementError(f"the network failed: {first_line(error)}") from error
        return (time.perf_counter_ns() - start) * 1e-9 / loops

    def _once(self) -> None:
        with torch.inference_mode(), self._precision():
            self.module(*self.args, **self.kwargs)

    def _precision(self) -> AbstractContextManager[Any]:
        if self.dtype == torch.float32:
            return nullcontext()
        return torch.autocast(self.device.type, self.dtype)

    def _synchronise(self) -> None:
        if self.device.type != "cpu":
            torch.accelerator.synchronize(self.device)


class TrainingPass(ForwardPass):
    """Forward, loss, backward and update, in train mode, by SGD with momentum 0.9.

    The rate is 0, so that however many steps are timed the weights stay as they are (denormals
    and overflows would be timed, too); the work of an update is the same. `frozen` is the parity
    of factors that is frozen (see `freezing`), None for none.
    """

    train_mode = True

    def __init__(
        self,
        module: nn.Module,
        takes: Takes,
        chains: Sequence[str] = (),
        frozen: int | None = None,
        device: str = "cpu",
        dtype: str = "float32",
    ) -> None:
        super().__init__(module.requires_grad_(True), takes, device, dtype)
        freeze(self.module, chains, frozen)
        trained = [p for p in self.module.parameters() if p.requires_grad]
        self.optimizer = torch.optim.SGD(trained, lr=0.0, momentum=0.9)

    def _once(self) -> None:
        self.optimizer.zero_grad(set_to_none=True)
        with self._precision():
            answer = named_tensors(self.module, self.module(*self.args, **self.kwargs)).values()
            trained = [one.float() for one in answer if one.requires_grad]
            loss = torch.stack([one.square().mean() for one in trained]).sum()
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
