"""The kinds of decomposition that rankwise brings, a file each: its shapes and its weights."""

from __future__ import annotations

from .branched_tucker import BRANCHED_TUCKER
from .channel_svd import CHANNEL_SVD
from .cp import CP
from .input_svd import INPUT_SVD
from .original import ORIGINAL
from .spatial_svd import SPATIAL_SVD
from .svd import SVD
from .tucker2 import TUCKER2

BUILT_IN = (ORIGINAL, SVD, CHANNEL_SVD, INPUT_SVD, SPATIAL_SVD, TUCKER2, BRANCHED_TUCKER, CP)
"""In the order in which they are listed and tried."""
