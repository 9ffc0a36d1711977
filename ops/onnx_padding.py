"""Padding that ONNX layers work out from the size of their input, kept where they are replaced.

A layer with `auto_pad` SAME_UPPER or SAME_LOWER pads as its input's size asks for. In a file that
leaves sizes open, pads written as numbers would be right for one size alone. Every axis is padded
for itself, so a chain whose links share the layer's axes out among them pads as the layer does if
each of its links has the same `auto_pad`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from onnx import NodeProto, helper

from ..errors import ModelError

SAME = ("SAME_UPPER", "SAME_LOWER")

Axes = list[tuple[int, int, int]]
"""(kernel size, stride, dilation) of each spatial axis."""


def keep_auto_pad(
    layer: NodeProto, weight_shape: Sequence[int], nodes: Iterable[NodeProto]
) -> None:
    """Give the nodes of a chain the `auto_pad` of the layer in whose place they stand (changes
    the nodes); a layer with numbers for pads has no need of it.

    Raises `ModelError` where the chain walks along an axis in other steps than the layer: nobody
    knows how that pads for another size.
    """
    mode = _attributes(layer).get("auto_pad", b"").decode()
    if layer.op_type != "Conv" or mode not in SAME:
        return
    wanted = _axes(layer, weight_shape[2:])
    for node in nodes:
        if node.op_type != "Conv":
            continue
        if not _share(_axes(node, ()), wanted):
            raise ModelError(
                f"layer {layer.name or layer.output[0]!r} pads as the size of its input asks for "
                f"(auto_pad {mode}), which this decomposition cannot follow"
            )
        kept = [one for one in node.attribute if one.name != "pads"]
        del node.attribute[:]
        node.attribute.extend([*kept, helper.make_attribute("auto_pad", mode)])


def _axes(node: NodeProto, kernel: Sequence[int]) -> Axes:
    given = _attributes(node)
    kernel = given.get("kernel_shape", kernel)
    ones = [1] * len(kernel)
    strides, dilations = given.get("strides", ones), given.get("dilations", ones)
    return [(int(k), int(s), int(d)) for k, s, d in zip(kernel, strides, dilations, strict=True)]


def _attributes(node: NodeProto) -> dict[str, Any]:
    return {one.name: helper.get_attribute_value(one) for one in node.attribute}


def _share(link: Axes, layer: Axes) -> bool:
    """Whether the link walks along each axis as the layer does, or takes single positions, which
    are never padded."""
    return all(one == whole or one[0] == 1 for one, whole in zip(link, layer, strict=True))
