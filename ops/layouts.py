"""How weights lie in memory elsewhere.

Here the weight of every convolution is (C_out, C_in / groups, *kernel). torch and ONNX keep that
of a transposed one as (C_in, C_out / groups, *kernel): whoever reads or writes theirs turns it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..records import LayerSpec


def turned(weight: NDArray[Any], groups: int) -> NDArray[Any]:
    """Return a transposed convolution's weight in the other layout, whichever it has."""
    rows, columns, *kernel = weight.shape
    grouped = weight.reshape(groups, rows // groups, columns, *kernel).swapaxes(1, 2)
    return np.ascontiguousarray(grouped).reshape(groups * columns, rows // groups, *kernel)


def as_written(link: LayerSpec, weight: NDArray[Any]) -> NDArray[Any]:
    """Return a link's weight as torch and ONNX keep it."""
    return turned(weight, link.groups) if link.is_transposed else weight
