"""Convolutions that torch has no module for: padded unequally at opposite sides, or, transposed,
cut off unequally. Their attributes say so in torch's own way where it has one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F


def torch_pads(pads: Sequence[int]) -> list[int]:
    """Return paddings (all begins, all ends) as `F.pad` takes them: the last axis first."""
    axes = len(pads) // 2
    return [pads[side] for axis in reversed(range(axes)) for side in (axis, axis + axes)]


class _Padded(nn.Module):
    """Pads its input with `padding` (all begins, all ends)."""

    def __init__(self, *sizes: Any, padding: Sequence[int], **settings: Any) -> None:
        super().__init__(*sizes, **settings)
        self._reversed_padding_repeated_twice = torch_pads(padding)

    def _conv_forward(self, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        padded = F.pad(input, self._reversed_padding_repeated_twice)
        outputs: Tensor = super()._conv_forward(padded, weight, bias)  # type: ignore[misc]
        return outputs

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, padded={self._reversed_padding_repeated_twice}"


class PaddedConv1d(_Padded, nn.Conv1d):
    pass


class PaddedConv2d(_Padded, nn.Conv2d):
    pass


class PaddedConv3d(_Padded, nn.Conv3d):
    pass


class _Cropped(nn.Module):
    """Cuts `crop` (all begins, all ends) off its output."""

    def __init__(self, *sizes: Any, crop: Sequence[int], **settings: Any) -> None:
        super().__init__(*sizes, **settings)
        self.crop = tuple(crop)

    def forward(self, input: Tensor) -> Tensor:
        return F.pad(super().forward(input), [-cut for cut in torch_pads(self.crop)])

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, crop={self.crop}"


class CroppedConvTranspose1d(_Cropped, nn.ConvTranspose1d):  # type: ignore[misc]
    pass


class CroppedConvTranspose2d(_Cropped, nn.ConvTranspose2d):  # type: ignore[misc]
    pass


class CroppedConvTranspose3d(_Cropped, nn.ConvTranspose3d):  # type: ignore[misc]
    pass


CONVOLUTIONS: dict[int, Any] = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
TRANSPOSED: dict[int, Any] = {
    1: nn.ConvTranspose1d,
    2: nn.ConvTranspose2d,
    3: nn.ConvTranspose3d,
}
PADDED: dict[int, Any] = {1: PaddedConv1d, 2: PaddedConv2d, 3: PaddedConv3d}
CROPPED: dict[int, Any] = {
    1: CroppedConvTranspose1d,
    2: CroppedConvTranspose2d,
    3: CroppedConvTranspose3d,
}
"""By the number of axes of positions."""


def padded_kind(padding: Sequence[int]) -> tuple[Any, dict[str, Any]]:
    """Return the class of a convolution with that padding, and the settings that say so."""
    axes = len(padding) // 2
    begins, ends = tuple(padding[:axes]), tuple(padding[axes:])
    if begins == ends:
        return CONVOLUTIONS[axes], {"padding": begins}
    return PADDED[axes], {"padding": tuple(padding)}


def transposed_kind(
    padding: Sequence[int], output_padding: Sequence[int], steps: Sequence[int]
) -> tuple[Any, dict[str, Any]]:
    """Return the class of a transposed convolution, and the settings of its padding. `steps`: the
    larger of stride and dilation of each axis, below which torch wants the output padding.

    Unequal padding is an output padding, too, as far as that goes.
    """
    axes = len(output_padding)
    begins, ends = padding[:axes], padding[axes:]
    added = [b - e + o for b, e, o in zip(begins, ends, output_padding, strict=True)]
    if all(0 <= one < step for one, step in zip(added, steps, strict=True)):
        return TRANSPOSED[axes], {"padding": tuple(begins), "output_padding": tuple(added)}
    return CROPPED[axes], {"crop": tuple(padding), "output_padding": tuple(output_padding)}
