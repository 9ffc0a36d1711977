"""Networks from what a user names: a zoo name, a file, a callable, a module."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..errors import ModelError, UsageError, did_you_mean, first_line
from ..inputs.asked_inputs import check_shape
from ..inputs.examples import AskedInput
from ..sources.callables import (
    find_callable,
    is_callable_path,
    is_library,
    seeded,
    working_directory_importable,
)
from .network import Network, with_finite_weights

if TYPE_CHECKING:
    import torch

SEED = 0
"""A callable that draws random weights draws these, so that its network keeps its hash."""


def load_network(
    source: str | Path,
    *,
    weights: str | Path | None = None,
    input_shape: Sequence[int] | None = None,
    batch: int | None = None,
    inputs: Sequence[AskedInput] = (),
) -> Network:
    """Read a network and its layers.

    `source`: a zoo name, an `.onnx` file, or `package.module:callable` (returns an
    `nn.Module`). `weights`: `.safetensors`, or a `.pth` of plain tensors. `input_shape` has the
    batch first; `batch` overrides it; `inputs` describes inputs by name. Raises `ModelError` with
    one sentence for anything that cannot be read, has no known input, or does not run on it.
    """
    text = str(source)
    check_shape(input_shape, batch)
    if text.lower().endswith(".onnx"):
        from .onnx_network import OnnxNetwork

        if weights is not None:
            raise ModelError("an .onnx file brings its own weights: leave --weights out")
        return with_finite_weights(
            OnnxNetwork.load(Path(text), input_shape=input_shape, batch=batch, inputs=inputs)
        )
    from ..inputs.example_inputs import torch_inputs
    from ..sources.checkpoint import read_state
    from ..sources.module_copies import copied
    from ..sources.places import on_cpu
    from ..sources.weights import load_state
    from ..sources.wrappers import unwrapped
    from .torch_network import TorchNetwork

    module, default, ours = _module_of(text, with_weights=weights is None)
    module = module if ours else unwrapped(copied(module))
    takes = torch_inputs(module, text, default, input_shape, batch, inputs)
    notes: tuple[str, ...] = ()
    if weights is not None:
        state = read_state(Path(weights))
        load_state(module, state, Path(weights))
        notes += state.notes
    network = TorchNetwork.owning(on_cpu(module), text, takes)
    network.loading_notes += notes
    return with_finite_weights(network)


def network_of(
    model: Any,
    *,
    example_input: Any = None,
    weights: Path | None = None,
    input_shape: Sequence[int] | None = None,
    batch: int | None = None,
    inputs: Sequence[AskedInput] = (),
) -> Network:
    """Return the network that the user gave: by its source, as a torch module, or as it is."""
    if isinstance(model, (str, Path)):
        return load_network(
            str(model), weights=weights, input_shape=input_shape, batch=batch, inputs=inputs
        )
    if hasattr(model, "layers") and hasattr(model, "replaced"):
        return model  # type: ignore[no-any-return]
    if example_input is None:
        raise UsageError("a torch module needs an example_input, from which shapes are read")
    return network_of_module(model, example_input)


def network_of_module(module: Any, example_input: Any, source: str = "") -> Network:
    """Make a network from a copy of a torch module, and an input (a tensor, an array, or its
    shape), a tuple of what it takes in order, or a dict by keyword.

    Raises `ModelError` if it is no module, does not run on such an input, or has weights that are
    not finite.
    """
    from torch import nn

    from ..inputs.example_inputs import from_example
    from ..sources.wrappers import bare
    from .torch_network import TorchNetwork

    module = bare(module)
    if not isinstance(module, nn.Module):
        raise ModelError(f"expected a torch.nn.Module, not a {type(module).__name__}")
    kind = type(module)
    name = source or f"{kind.__module__}:{kind.__qualname__}"
    return with_finite_weights(TorchNetwork.of(module, name, from_example(module, example_input)))


def _module_of(text: str, with_weights: bool) -> tuple[torch.nn.Module, Any, bool]:
    """Return the module of a zoo name, a library or a callable, its example inputs or their shape,
    and whether it was made here and nobody else has it."""
    from ..sources import zoo
    from ..sources.libraries import library_network

    if text in zoo.ZOO:
        return zoo.build(text), zoo.INPUT_SHAPE, True
    if text.endswith(".pt2"):
        raise ModelError(
            f"{text} is not read, because reading a .pt2 file can run code: give the network as "
            "an .onnx file or as package.module:callable"
        )
    if is_library(text):
        made = library_network(text, with_weights=with_weights)
        return made.module, made.example, True
    if not is_callable_path(text):
        hint, names = did_you_mean(text, zoo.ZOO), ", ".join(sorted(zoo.ZOO))
        raise ModelError(
            f"{text!r} is no network{hint}: give a zoo name ({names}), an .onnx "
            "file, package.module:callable, timm:NAME, torchvision:NAME, or hf:OWNER/NAME"
        )
    return *_call(text), False


def _call(text: str) -> tuple[torch.nn.Module, Any]:
    import torch

    from ..inputs.example_inputs import said_by

    with seeded(SEED):  # a module may draw weights when it is imported
        maker, home = find_callable(text)
    try:
        with working_directory_importable(), seeded(SEED):
            module = maker if isinstance(maker, torch.nn.Module) else maker()
    except Exception as error:
        # The user's code may raise anything.
        raise ModelError(f"{text} failed: {first_line(error)}") from error
    if not isinstance(module, torch.nn.Module):
        raise ModelError(f"{text} returned a {type(module).__name__}, not a torch.nn.Module")
    return module, said_by(text, module, maker, home)
