"""`rankwise.load`: a compressed network from its `.safetensors` file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ..models import chain_files

if TYPE_CHECKING:
    from torch import nn


def load(path: Path | str, module: nn.Module) -> nn.Module:
    """Return a copy of `module` as it is in a `.safetensors` file that `apply`, `recover` or
    `finetune` wrote: chains in the place of layers, with all weights.

    `module` is the network that the plan was made for, of the same class; its own weights do not
    matter. The copy is on its device, in its types and modes. Raises `ModelError` with one
    sentence where the file cannot be read or is for another network.

    >>> smaller = rw.apply(plan, network, example, output="smaller.safetensors")
    >>> again = rw.load("smaller.safetensors", network)
    >>> bool((again(example) == smaller(example)).all())
    True
    """
    return chain_files.load(Path(path), module)
