"""A network in the form in which gradients can be taken through it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..inputs.examples import NetworkInputs
from ..records import LayerUse

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True, slots=True, eq=False)
class Differentiable:
    """A torch module that answers with what is compared, and whose weights take no gradient.

    `paths`: where the module has each layer, by the layer's name; one that is not there has no
    influence on what is compared.
    """

    module: nn.Module
    layers: tuple[LayerUse, ...]
    paths: Mapping[str, str]
    inputs: NetworkInputs

    def part(self, name: str) -> nn.Module | None:
        """Return the layer of that name, if it is there."""
        path = self.paths.get(name)
        return None if path is None else dict(self.module.named_modules()).get(path)
