"""Resize and Upsample of `onnx_to_torch`: the interpolations that torch does the same way."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from torch import Tensor
from torch.nn import functional as F

from .graph import Call, Operators, Refusal

OPERATORS = Operators()


@OPERATORS.converts("Resize", "Upsample")
def _resize(call: Call) -> Any:
    """Resize to the size that one run had, by the two interpolations that torch has, too.

    A scale that gives no whole size is not the ratio of the sizes: torch has to be told it.
    """
    before, after = call.shape(), call.output_shape()
    mode = call.given.get("mode", b"nearest")
    how = call.given.get("coordinate_transformation_mode", b"half_pixel")
    if _is_old_resize(call):
        how = b"asymmetric"
    if before[:2] != after[:2] or len(before) != 4:
        raise Refusal("it resizes other axes than the last two of four")
    size = tuple(after[2:])
    if mode == b"nearest" and _nearest_as_torch(call, how, before, after):
        return call.run(F.interpolate, call[0], size, mode="nearest")
    centred = how in (b"half_pixel", b"pytorch_half_pixel") and min(size) > 1
    if mode == b"linear" and centred and not call.given.get("antialias"):
        scales = _uneven_scales(call, before, after)
        if scales is not None:
            return call.run(upsample_by, call[0], scales)
        return call.run(F.interpolate, call[0], size, mode="bilinear", align_corners=False)
    if mode == b"linear" and how == b"align_corners":
        return call.run(F.interpolate, call[0], size, mode="bilinear", align_corners=True)
    raise Refusal(f"mode {mode.decode()} with {how.decode()}")


def _nearest_as_torch(call: Call, how: bytes, before: Any, after: Any) -> bool:
    if any(big % small for big, small in zip(after[2:], before[2:], strict=True)):
        return False
    if _uneven_scales(call, before, after):
        return False
    rounding = call.given.get("nearest_mode", b"round_prefer_floor")
    if _is_old_resize(call):
        rounding = b"floor"
    # Whole factors: both ways put each pixel there as often as the factor says.
    rounds = rounding in (b"round_prefer_floor", b"round_prefer_ceil")
    return (how, rounding) == (b"asymmetric", b"floor") or (how == b"half_pixel" and rounds)


def _is_old_resize(call: Call) -> bool:
    """Return whether the node is of the first definition, which says nothing of coordinates."""
    return call.node.op_type == "Upsample" or call.opset < 11


def _uneven_scales(call: Call, before: Any, after: Any) -> list[float] | None:
    """Return the scales of height and width where they are given and are not after / before."""
    given = call.known(1 if _is_old_resize(call) else 2)
    if given is None or given.size != 4:
        return None
    scales = [float(scale) for scale in given[2:]]
    ratios = [big / small for big, small in zip(after[2:], before[2:], strict=True)]
    return scales if not np.allclose(scales, ratios, rtol=1e-6) else None


def upsample_by(x: Tensor, scales: Sequence[float]) -> Tensor:
    """Return `x` resized bilinearly by scales that give no whole size."""
    return F.interpolate(
        x, scale_factor=list(scales), mode="bilinear", recompute_scale_factor=False
    )
