"""A torch module that answers what is compared of another one, as a tuple."""

from __future__ import annotations

from torch import Tensor, nn

from ..inputs.calls import Call
from ..inputs.examples import NetworkInputs
from .torch_outputs import compared_tensors


class ComparedModule(nn.Module):
    """Takes the inputs (n, ...) one after the other, as backends call modules; answers what
    `Network.outputs` has of every output, in that order."""

    def __init__(self, module: nn.Module, inputs: NetworkInputs) -> None:
        super().__init__()
        self.module, self._form = module, inputs.form
        self._batched = [spec.batched for spec in inputs.specs].index(True)

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        call = Call(inputs, len(inputs[self._batched]), self._form)
        return tuple(compared_tensors(self.module, call).values())
