"""ConvTranspose nodes: what their padding is at the size of an input."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from ..records import LayerSpec, Op

OPS: dict[int, Op] = {1: "conv_transpose1d", 2: "conv_transpose2d", 3: "conv_transpose3d"}
"""By the number of axes of positions."""


def transposed_spec(
    given: Mapping[str, Any], weight: Sequence[int], shape: Sequence[int], bias: bool
) -> LayerSpec:
    """Return the spec of a node with these attributes, the weight's shape (C_in, C_out / groups,
    ...) and an input of `shape`, batch included; `auto_pad` and `output_shape` are worked out."""
    axes, groups = len(weight) - 2, int(given.get("group", 1))
    plain = LayerSpec(
        OPS[axes],
        shape[1],
        weight[1] * groups,
        tuple(shape[1:]),
        tuple(weight[2:]),
        _numbers(given, "strides"),
        dilation=_numbers(given, "dilations"),
        groups=groups,
        bias=bias,
        output_padding=_numbers(given, "output_padding"),
    )
    mode = given.get("auto_pad", b"NOTSET").decode()
    wanted = _numbers(given, "output_shape")[-axes:]
    if not wanted and mode in ("NOTSET", "VALID"):
        return replace(plain, padding=_numbers(given, "pads") if mode == "NOTSET" else ())
    if not wanted:  # a kernel that is smaller than its stride does not reach as far
        whole = zip(shape[2:], plain.stride, plain.output_shape[1:], strict=True)
        wanted = tuple(min(n * stride, most) for n, stride, most in whole)
    return _reaching(plain, wanted, upper=mode == "SAME_UPPER")


def _reaching(plain: LayerSpec, wanted: Sequence[int], upper: bool) -> LayerSpec:
    """Return the spec with the padding that gives outputs of that size; of an odd number of
    positions that are cut off, the one more at the end if `upper`."""
    begins, ends, added = [], [], []
    for want, have, out in zip(wanted, plain.output_shape[1:], plain.output_padding, strict=True):
        total = max(have - want, 0)
        small, large = total // 2, total - total // 2
        begins.append(small if upper else large)
        ends.append(large if upper else small)
        added.append(out + max(want - have, 0))
    return replace(plain, padding=(*begins, *ends), output_padding=tuple(added))


def _numbers(given: Mapping[str, Any], name: str) -> tuple[int, ...]:
    return tuple(int(n) for n in given.get(name, ()))
