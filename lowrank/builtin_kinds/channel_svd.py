"""channel_svd: a k x k convolution with r outputs, then 1x1 r -> C_out. Zhang et al., TPAMI 2016.

It is `svd` of a kernel larger than 1x1, under the name that the literature has for it.
"""

from __future__ import annotations

from dataclasses import replace

from ..shapes import reason_unless_spatial
from .svd import SVD

CHANNEL_SVD = replace(SVD, name="channel_svd", applies=reason_unless_spatial)
