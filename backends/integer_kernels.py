"""Whether a runtime has taken kernels that multiply integers.

One that has no such kernel for a layer computes it in float32 between two conversions, and says
nothing: slower than float32 by itself, and no measurement of int8.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ..errors import MeasurementError
from ..ops.chain import Stretch


def require_integers(
    runtime: str,
    multiplications: Iterable[tuple[str, bool]],
    links: int,
    floats: Sequence[Stretch],
) -> None:
    """`MeasurementError` (stage `prepare`) unless a runtime multiplies integers in all links but
    those that stay in float32. `multiplications`: each one's name, and whether it is of integers.
    """
    found, wanted = list(multiplications), sum(end - first for first, end in floats)
    in_float = [name for name, integers in found if not integers]
    if len(in_float) > wanted:
        names = ", ".join(sorted(set(in_float)))
        raise MeasurementError(
            f"{runtime} leaves {len(in_float)} of {links} multiplications in float32 ({names}): "
            "it has no integer kernel for them here",
            "prepare",
        )
    if len(in_float) < wanted or len(found) != links:
        raise MeasurementError(
            f"{runtime} makes {len(found)} multiplications of {links}, {len(in_float)} of them in "
            f"float32 instead of {wanted}: not what was to be measured",
            "prepare",
        )
