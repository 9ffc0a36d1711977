"""Documents in a notebook: all of them, escaped, without scripts; and in one line by `repr`."""

from __future__ import annotations

from PIL import Image  # noqa: F401  (as the network does)
