"""From what a user writes to a network."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import ModelError
from .callables import find_callable, is_callable_path, working_directory_importable
from .network import Network, first_line

if TYPE_CHECKING:
    import torch

    from .torch_network import TorchNetwork

SEED = 0
"""A callable that draws random weights draws these, so that its network keeps its hash."""


def load_network(
    source: str | Path,
    *,
    weights: str | Path | None = None,
    input_shape: Sequence[int] | None = None,
    batch: int | None = None,
) -> Network:
    """Read a network and its layers.

    `source`: a zoo name, an `.onnx` file, or `package.module:callable` (returns an
    `nn.Module`). `weights`: `.safetensors`, or a `.pth` of plain tensors. `input_shape` has the
    batch first; `batch` overrides it. Raises `ModelError` with one sentence for anything that
    cannot be read, has no known input shape, or does not run on it.
    """
    text = str(source)
    _check_shape(input_shape, batch)
    if text.lower().endswith(".onnx"):
        return _load_onnx(text, weights, input_shape, batch)
    module, default, ours = _module_of(text)
    shape = tuple(input_shape or default or ())
    if not shape:
        raise ModelError(f"say which input {text} takes, for instance --input-shape 1,3,224,224")
    if weights is not None:
        _load_weights(module, Path(weights))
    return _torch_network(module, text, (batch or shape[0], *shape[1:]), ours=ours)


def network_of_module(module: Any, example_input: Any, source: str = "") -> TorchNetwork:
    """A network from a torch module, which is copied, and an input (or its shape).

    Raises `ModelError` if it is no module, or does not run on such an input.
    """
    from torch import nn

    if not isinstance(module, nn.Module):
        raise ModelError(f"expected a torch.nn.Module, not a {type(module).__name__}")
    kind = type(module)
    return _torch_network(
        module, source or f"{kind.__module__}:{kind.__qualname__}", _shape_of(example_input)
    )


def _shape_of(example_input: Any) -> tuple[int, ...]:
    """The shape of a tensor or array, alone or in a tuple of one; or the shape itself."""
    if isinstance(example_input, (tuple, list)) and len(example_input) == 1:
        example_input = example_input[0]
    if isinstance(example_input, Mapping):
        raise ModelError("networks with named inputs are not supported: give one tensor")
    shape = getattr(example_input, "shape", example_input)
    try:
        numbers = tuple(int(n) for n in shape)
    except (TypeError, ValueError):
        raise ModelError("the example input must be one tensor (or array, or shape)") from None
    _check_shape(numbers, None)
    return numbers


def _torch_network(
    module: Any, source: str, shape: tuple[int, ...], *, ours: bool = False
) -> TorchNetwork:
    """`ours`: nobody else has the module, so it need not be copied."""
    from .torch_network import TorchNetwork

    make = TorchNetwork.owning if ours else TorchNetwork.of
    return make(module, source, shape)


def _load_onnx(
    text: str,
    weights: str | Path | None,
    input_shape: Sequence[int] | None,
    batch: int | None,
) -> Network:
    from .onnx_network import OnnxNetwork

    if weights is not None:
        raise ModelError("an .onnx file brings its own weights: leave --weights out")
    return OnnxNetwork.load(Path(text), input_shape=input_shape, batch=batch)


def _check_shape(input_shape: Sequence[int] | None, batch: int | None) -> None:
    numbers = [*(input_shape or ()), *([] if batch is None else [batch])]
    if any(n < 1 for n in numbers) or (input_shape is not None and not len(input_shape)):
        raise ModelError(
            f"an input shape has the batch first and only positive numbers, not "
            f"{','.join(map(str, numbers))}"
        )


def _module_of(text: str) -> tuple[torch.nn.Module, Sequence[int] | None, bool]:
    """The module that a zoo name or a callable stands for, its default input shape, and whether
    it was made here and nobody else has it."""
    from . import zoo

    if text in zoo.ZOO:
        return zoo.build(text), zoo.INPUT_SHAPE, True
    if text.endswith(".pt2"):
        raise ModelError(
            f"{text} is not read, because reading a .pt2 file can run code: give the network as "
            "an .onnx file or as package.module:callable"
        )
    if not is_callable_path(text):
        raise ModelError(
            f"{text!r} is no network: give a zoo name ({', '.join(sorted(zoo.ZOO))}), an .onnx "
            "file, or package.module:callable"
        )
    return *_call(text), False


def _call(text: str) -> tuple[torch.nn.Module, Sequence[int] | None]:
    import torch

    maker, home = find_callable(text)
    try:
        with working_directory_importable(), torch.random.fork_rng(devices=[]):
            torch.manual_seed(SEED)
            module = maker if isinstance(maker, torch.nn.Module) else maker()
    except Exception as error:
        # The user's code may raise anything.
        raise ModelError(f"{text} failed: {first_line(error)}") from error
    if not isinstance(module, torch.nn.Module):
        raise ModelError(f"{text} returned a {type(module).__name__}, not a torch.nn.Module")
    return module, getattr(module, "input_shape", None) or getattr(home, "input_shape", None)


def _load_weights(module: torch.nn.Module, path: Path) -> None:
    from .checkpoint import load_state, read_state

    load_state(module, read_state(path), path)
