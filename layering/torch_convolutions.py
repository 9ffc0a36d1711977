"""torch's convolutions of all sorts: what they are as specs, and what their specs' inputs are."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

from torch import Tensor, nn

from ..ops.torch_modules import CONVOLUTIONS as PLAIN
from ..ops.torch_modules import CROPPED, PADDED
from ..ops.torch_modules import TRANSPOSED as SPREADING
from ..records import LayerSpec, Op
from .overrides import computes_as

TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d, *TRANSPOSED)
OPS: dict[type[nn.Module], Op] = {
    nn.Conv1d: "conv1d",
    nn.Conv2d: "conv2d",
    nn.Conv3d: "conv3d",
    nn.ConvTranspose1d: "conv_transpose1d",
    nn.ConvTranspose2d: "conv_transpose2d",
    nn.ConvTranspose3d: "conv_transpose3d",
}

PADDINGS: dict[str, tuple[Any, Any, Any]] = {
    "reflect": (nn.ReflectionPad1d, nn.ReflectionPad2d, nn.ReflectionPad3d),
    "replicate": (nn.ReplicationPad1d, nn.ReplicationPad2d, nn.ReplicationPad3d),
    "circular": (nn.CircularPad1d, nn.CircularPad2d, nn.CircularPad3d),
}
"""By the padding mode, for one to three axes."""


def conv_op(part: nn.Module) -> Op | None:
    """Return the op of a convolution, or of a class derived from one; None for what is none."""
    return next((op for kind, op in OPS.items() if isinstance(part, kind)), None)


def computes_plainly(part: Any) -> bool:
    """Whether a convolution computes nothing else than its spec says."""
    axes = len(part.kernel_size)
    if part.transposed:
        return any(computes_as(part, one[axes]) for one in (SPREADING, CROPPED))
    return any(computes_as(part, one[axes], "_conv_forward") for one in (PLAIN, PADDED))


def conv_spec(part: Any, shape: tuple[int, ...], output_size: Any = None) -> LayerSpec:
    """Return the spec of a convolution that is called with an input of this shape, and with this
    output size if it is transposed. Where it pads with anything but zeros the spec begins behind
    the padding (see `spec_input`)."""
    op = conv_op(part)
    assert op is not None
    sizes, padding, added = shape[2:], _padding(part), ()
    if part.transposed:
        added = part.output_padding
    elif pads_itself(part):
        sizes = tuple(n + sum(both) for n, both in zip(sizes, _sides(padding), strict=True))
        padding = (0,) * len(padding)
    spec = LayerSpec(
        op,
        part.in_channels,
        part.out_channels,
        (shape[1], *sizes),
        part.kernel_size,
        part.stride,
        padding,
        part.dilation,
        part.groups,
        part.bias is not None,
        output_padding=added,
    )
    return spec if output_size is None else _reaching(spec, output_size)


def _padding(part: Any) -> tuple[int, ...]:
    """Return the padding in ONNX's order."""
    if part.transposed:
        return tuple(getattr(part, "crop", (*part.padding, *part.padding)))
    # torch keeps it with the last axis first, "same" already worked out.
    turned = part._reversed_padding_repeated_twice
    return (*turned[-2::-2], *turned[::-2])


def _sides(padding: tuple[int, ...]) -> list[tuple[int, int]]:
    axes = len(padding) // 2
    return list(zip(padding[:axes], padding[axes:], strict=True))


def _reaching(spec: LayerSpec, output_size: Any) -> LayerSpec:
    """Return the spec with the output padding that gives outputs of that size."""
    plain = replace(spec, output_padding=())
    wanted = tuple(output_size)[-spec.dimensions :]
    added = (want - have for want, have in zip(wanted, plain.output_shape[1:], strict=True))
    return replace(spec, output_padding=tuple(added))


@contextmanager
def output_sizes(parts: Iterable[nn.Module]) -> Iterator[dict[nn.Module, set[Any]]]:
    """Note the output sizes that transposed convolutions are called with, None where with none."""
    asked: dict[nn.Module, set[Any]] = {}

    def note(part: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        size = kwargs.get("output_size", args[1] if len(args) > 1 else None)
        asked.setdefault(part, set()).add(None if size is None else tuple(size))

    hooks = [
        part.register_forward_pre_hook(note, with_kwargs=True)
        for part in parts
        if isinstance(part, TRANSPOSED)
    ]
    try:
        yield asked
    finally:
        for hook in hooks:
            hook.remove()


def pads_itself(part: nn.Module) -> bool:
    """Whether a layer pads its input with anything but zeros."""
    return getattr(part, "padding_mode", "zeros") != "zeros"


def spec_input(part: nn.Module, given: Tensor) -> Tensor:
    """Return what the spec of a layer takes as its input where the layer itself is given this."""
    padded: Tensor = padding_of(part)(given) if pads_itself(part) else given
    return padded


def padding_of(part: Any) -> nn.Module:
    """Return the padding of a convolution that pads with anything but zeros, alone."""
    kind = PADDINGS[part.padding_mode][len(part.kernel_size) - 1]
    made: nn.Module = kind(tuple(part._reversed_padding_repeated_twice))
    return made
