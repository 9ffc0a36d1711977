"""Parameters that several modules have: they stay in the network when one of these is replaced."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from ..records import LayerUse

if TYPE_CHECKING:  # ONNX files are read without torch
    from torch import Tensor, nn


def with_shared(
    uses: Iterable[LayerUse], module: nn.Module, layers: Mapping[str, nn.Module]
) -> Iterator[LayerUse]:
    """Yield the uses with the number of each layer's parameters that others have, too."""
    holders = Counter(key for part in module.modules() for key in _own(part))
    for use in uses:
        own = _own(layers[use.name]) if use.name in layers and use.spec is not None else {}
        yield replace(use, shared=sum(size for key, size in own.items() if holders[key] > 1))


def shared_notes(uses: Iterable[LayerUse]) -> dict[str, str]:
    """Return the remark on each layer that shares parameters, by its name."""
    return {
        use.name: f"{use.shared} of its parameters are another's, too, and stay when it is replaced"
        for use in uses
        if use.shared
    }


def _own(part: nn.Module) -> dict[tuple[int, int], int]:
    """Return the sizes of a module's own parameters by where they are."""
    return {_key(one): one.numel() for one in part.parameters(recurse=False)}


def _key(parameter: Tensor) -> tuple[int, int]:
    return parameter.data_ptr(), parameter.numel()
