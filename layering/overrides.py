"""Whether a module computes what its class of torch's does, or somebody has put code in between."""

from __future__ import annotations

from torch import nn


def computes_as(part: nn.Module, kind: type[nn.Module], *more: str) -> bool:
    """Whether calling `part` runs the methods of `kind`: `forward`, what calls it, and `more`.

    Derived classes may have others, and so may a single object: libraries that move weights to
    devices put a `forward` of their own into it.
    """
    names = ("__call__", "forward", *more)
    own = vars(part)
    return all(getattr(type(part), one) is getattr(kind, one) and one not in own for one in names)
