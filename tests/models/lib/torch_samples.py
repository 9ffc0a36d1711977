"""torch's own samples of convolutions and linear layers, replaced at full rank.

    python tests/models/lib/torch_samples.py

says what came of them. A process of its own, because torch's test helpers change what is global.
"""

from __future__ import annotations

import sys
import types
import unittest
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from rankwise.models.network import Network, only
from rankwise.models.torch_network import TorchNetwork

if str(Path(__file__).parent) not in sys.path:
    sys.path.insert(0, str(Path(__file__).parent))

from full_rank import Tally

NAMES = {
    "Linear": "linear",
    **{f"Conv{axes}d": f"conv{axes}d" for axes in (1, 2, 3)},
    **{f"ConvTranspose{axes}d": f"conv_transpose{axes}d" for axes in (1, 2, 3)},
}
"""Modules, and their functional forms."""
TOLERANCE = 1e-3


class Case(NamedTuple):
    name: str
    module: nn.Module
    inputs: Tensor


def samples() -> Iterator[Case]:
    _allow_no_expecttest()
    from torch.testing._internal.common_methods_invocations import op_db
    from torch.testing._internal.common_modules import module_db

    kinds = {getattr(nn, name): name for name in NAMES}
    for info in module_db:
        if info.module_cls in kinds:
            yield from _of_module(info)
    functions = {f"nn.functional.{form}": getattr(nn, name) for name, form in NAMES.items()}
    for op in op_db:
        if op.name in functions:
            for number, sample in enumerate(op.sample_inputs("cpu", torch.float32)):
                case = _of_function(functions[op.name], sample)
                if case is not None:
                    yield Case(f"{op.name} {number}", *case)


def _allow_no_expecttest() -> None:
    """torch's helpers derive a class from one of a package that nothing here needs."""
    stand_in: Any = types.ModuleType("expecttest")
    stand_in.TestCase = unittest.TestCase
    sys.modules.setdefault("expecttest", stand_in)


def _of_module(info: Any) -> Iterator[Case]:
    settings = {"device": "cpu", "dtype": torch.float32, "requires_grad": False, "training": False}
    for number, sample in enumerate(info.module_inputs_func(info, **settings)):
        made, called = sample.constructor_input, sample.forward_input
        inputs = [*called.args, *called.kwargs.values()]
        yield Case(f"{info.name} {number}", info.module_cls(*made.args, **made.kwargs), inputs[0])


def _of_function(kind: Any, sample: Any) -> tuple[nn.Module, Tensor] | None:
    """The module that computes what the function is given; None where there is none."""
    weight, bias, settings = _operands(sample)
    if kind is nn.Linear:
        if weight.dim() != 2:
            return None
        module = nn.Linear(weight.shape[1], weight.shape[0], bias is not None)
    else:
        groups = settings.get("groups", 1)
        first, second = weight.shape[0], weight.shape[1] * groups
        channels = (first, second) if "Transpose" in kind.__name__ else (second, first)
        module = kind(*channels, weight.shape[2:], bias=bias is not None, **settings)
    with torch.no_grad():
        module.weight.copy_(weight)
        if bias is not None:
            module.bias.copy_(bias)
    return module, sample.input


def _operands(sample: Any) -> tuple[Tensor, Tensor | None, dict[str, Any]]:
    settings = dict(sample.kwargs)
    weight, *rest = sample.args
    bias = rest[0] if rest else settings.pop("bias", None)
    names = ("stride", "padding", "dilation", "groups")
    settings |= dict(zip(names, rest[1:], strict=False))
    return weight.detach(), bias, settings


def tallied(chosen: Iterator[Case]) -> Tally:
    tally = Tally()
    for name, module, inputs in chosen:
        tally.cases += 1
        with tally.watched(name):
            shape, given = tuple(inputs.shape), inputs.detach().numpy()
            network = TorchNetwork.of(nn.Sequential(module.eval()), name, shape)
            wanted = only(network.outputs(given))

            def answers_right(made: Network, given: Any = given, wanted: Any = wanted) -> bool:
                found = only(made.outputs(given))
                largest = max(1, abs(wanted).max(initial=0))
                return bool(abs(found - wanted).max(initial=0) <= TOLERANCE * largest)

            tally.add(name, network, answers_right)
    return tally


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    print(tallied(samples()))
